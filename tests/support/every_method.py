"""Every method, found by itself, and the variants that do other things in a step."""

from pipeline.files import methods_folder
from pipeline.runs.settings.methods import load_method

METHODS = sorted(path.stem for path in methods_folder().glob("*.py") if path.stem != "__init__")
COMMON = {"backbone": "small-cnn", "epochs": 3, "batch_size": 128, "crop_padding": 1}
ALONE = {
    "simclr": {"head_norm": "layer"},
    "representation_regularization": {"info_nce_weight": 0.0},
    "ssr": {"optimizer": "sgd", "lr": 0.05},
    "sop": {"optimizer": "sgd", "lr": 0.05},
}
"""What lets several processes compute what one does: nothing that couples one's own samples, and no
gradient that is zero but for rounding, from which Adam's first steps are as long as any."""
C2D = {
    "divide": "before_each", "threshold": 0.03, "keep_both_sides": True, "mixture_iterations": 200,
    "average_losses": True, "clip_norm": 1.0, "clip_warm_up": True,
}  # fmt: skip
"""All switches of the code of C2D."""
VARIANTS = [
    ("elr", {"plus": True}),
    ("elr", {"plus": True, "teachers": "epoch_copies", "mix_alpha": 0.0}),
    ("sop", {"plus": True}),
    ("co_teaching", {"plus": True, "plus_from": 1}),
    ("co_teaching", {"rate_from": "hoc", "encoder": "simclr-digits"}),
    ("dividemix", {"warm_up": 1}),
    ("promix", {"warm_up": 1, "guess_from": 2, "threshold": 0.2, "keep_rate": 0.2}),
    # Chosen so that no sample lies on the threshold, where rounding would change its side.
    ("dividemix", {"warm_up": 1, "divide": "before_each", "average_losses": True}),
    ("dividemix", {"warm_up": 1, "divide": "before_each", "labelled_only": True}),
    ("ssr", {"consistency_weight": 0.0}),
    ("dividemix", {"warm_up": 1, "start_from": "simclr-digits"} | C2D),
    ("pes", {"semi": True}),
    ("robust_loss", {"loss": "ce", "rrm": True, "rrm_rate": 0.3}),
    ("elr", {"rrm": True, "rrm_gamma": 0.5, "rrm_step": 0.5}),
]  # fmt: skip


def settings_of(name, own):
    """Settings of a method for a small network, with its own ones."""
    found = COMMON | ALONE.get(name, {}) | own
    fields = load_method(name).Settings.model_fields
    if "projection_norm" in fields:
        found["projection_norm"] = "layer"
    return found


def typed(settings):
    """Settings as the words of a command line."""
    words = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [
            f"--{flag}={value}"]  # fmt: skip
    return words
