"""Keys, digests and seed streams."""

import numpy as np
import pytest

from pipeline.identity import array_digest, canonical_json, run_key, seed_stream


def test_the_key_of_a_run_never_changes():
    # Stored results hang on this: a different key for the same facts orphans them all.
    facts = {"method": "m", "version": 1, "settings": {"lr": 0.1, "epochs": 3}}
    assert run_key(facts) == "r2e8669cc7c94abd4"
    assert run_key(dict(reversed(facts.items()))) == run_key(facts)
    assert run_key(facts | {"version": 2}) != run_key(facts)


def test_canonical_form_refuses_what_json_cannot_carry():
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_array_digests_see_content_order_and_shape_but_not_the_container():
    labels = np.arange(6)
    assert array_digest(labels) == array_digest(labels.astype(np.int32))
    assert array_digest(labels) != array_digest(labels[::-1])
    assert array_digest(labels) != array_digest(labels.reshape(2, 3))
    assert array_digest(labels[:3], labels[3:]) != array_digest(labels)


def test_seed_streams_are_apart_and_stay_where_they_are():
    assert seed_stream(0, "order", 3) == 7117056792360100062
    streams = {seed_stream(0, name) for name in ("split", "init", "order", "augment", "method")}
    assert len(streams) == 5
    assert all(0 <= stream < 2**63 for stream in streams)
