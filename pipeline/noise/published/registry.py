"""Label files that were published, known by their content whatever they are called on disk.

Read from the files of XiuchuanLi/DAL, chenpf1025/SLN and IDN, puar-playground/LRA-diffusion,
pxiangwu/PLC, annasanchez27/re-stochastic-label-noise, mark-antal-csizmadia/re-sln and
UCSC-REAL/cifar-10-100n. Where two publish the same labels, they are listed once.
"""

import csv
import hashlib
from typing import NamedTuple

import numpy as np

from pipeline.noise.arrays import Labels


class Published(NamedTuple):
    """One published vector of labels.

    Attributes:
        content: first 12 hex digits of the MD5 of the labels as little-endian int64.
        dataset: whose training images (or test images: `clean test`) it labels.
        n: number of labels, for the first n images.
        n_flips: labels that differ from the clean ones; ones in an open-set mask.
        nominal_rate: published rate, None if there is none or there are two.
        convention: what the publisher's text or code, or the labels themselves, say it follows.
        name: publisher and name.
    """

    content: str
    dataset: str
    n: int
    n_flips: int
    nominal_rate: float | None
    convention: str
    name: str


def content_of(labels: Labels) -> str:
    """First 12 hex digits of the MD5 of labels [n] as little-endian int64; a name, not a seal."""
    plain = np.ascontiguousarray(labels, dtype="<i8")
    return hashlib.md5(plain.tobytes(), usedforsecurity=False).hexdigest()[:12]


_FILES = """\
content,dataset,n,n_flips,nominal_rate,convention,name
64a7290ac3c3,cifar10,50000,0,0,clean,CIFAR-10 clean
c44956f095ec,cifar10,10000,0,0,clean test,CIFAR-10 clean_test
7ecf9ffabaa7,cifar10,50000,4505,,human,CIFAR-10N aggregate
4552cf5ec3cd,cifar10,50000,8617,,human,CIFAR-10N random1
54c39bc498dd,cifar10,50000,9061,,human,CIFAR-10N random2
ad639b52312b,cifar10,50000,8820,,human,CIFAR-10N random3
e8e1ca656c51,cifar10,50000,20104,,human,CIFAR-10N worst
09a323bc64ea,cifar10,50000,4905,0.2,asymmetric/cifar10,DAL asymmetric_cifar10_20
8b8e1689c06f,cifar10,50000,10143,0.4,asymmetric/cifar10,DAL asymmetric_cifar10_40
4935286197f2,cifar10,50000,10244,0.2,instance/dal,DAL instance_cifar10_20
85a32260aed5,cifar10,50000,20145,0.4,instance/dal,DAL instance_cifar10_40
427855e575ca,cifar10,50000,8831,0.2,symmetric-inclusive,DAL symmetric_cifar10_20
c4e2cef4f625,cifar10,50000,18108,0.4,symmetric-inclusive,DAL symmetric_cifar10_40
b1f303e70771,cifar10,50000,26999,0.6,symmetric-inclusive,DAL symmetric_cifar10_60
95d95216e7da,cifar10,50000,35977,0.8,symmetric-inclusive,DAL symmetric_cifar10_80
de60bcd46965,cifar10,50000,5000,0.1,dependent,IDN cifar10_dependent0.1
123adb70049b,cifar10,50000,10000,0.2,dependent,IDN cifar10_dependent0.2
9eb8142b1124,cifar10,50000,15000,0.3,dependent,IDN cifar10_dependent0.3
9da694b4851b,cifar10,45000,15764,0.35,pmd/I,LRA cifar10-1-0.35
52836ac50290,cifar10,45000,18557,,pmd/I + asymmetric/cifar10,LRA cifar10-1-0.35_A_0.3
72b8ddc7662b,cifar10,45000,23983,,pmd/I + symmetric,LRA cifar10-1-0.35_U_0.3
8872ed472067,cifar10,45000,32298,,pmd/I + symmetric,LRA cifar10-1-0.35_U_0.6
4b7fbf7195ba,cifar10,45000,18213,0.4,pmd/I,LRA cifar10-1-0.40
738f280c17a0,cifar10,45000,20297,0.45,pmd/I,LRA cifar10-1-0.45
c82c69511c7a,cifar10,45000,22607,0.5,pmd/I,LRA cifar10-1-0.50
a47103c23167,cifar10,45000,24613,0.55,pmd/I,LRA cifar10-1-0.55
961a25f0f153,cifar10,45000,26668,0.6,pmd/I,LRA cifar10-1-0.60
6b671b1b3e0f,cifar10,45000,28937,0.65,pmd/I,LRA cifar10-1-0.65
1d6752766a20,cifar10,45000,31705,0.7,pmd/I,LRA cifar10-1-0.70
7120d0c38a53,cifar10,45000,15918,0.35,pmd/II,PLC cifar10-2-0.35
4ea704334a40,cifar10,45000,31514,0.7,pmd/II,PLC cifar10-2-0.70
0a8d5add2b31,cifar10,45000,15800,0.35,pmd/III,PLC cifar10-3-0.35
6ae0d1a44d87,cifar10,45000,31620,0.7,pmd/III,PLC cifar10-3-0.70
10357b42bf33,cifar10,50000,20000,0.4,open-set mask,re-SLN torch openset-mask_cifar10_0.4
1264994764d8,cifar10,50000,25000,0.5,open-set mask,re-SLN torch openset-mask_cifar10_0.5
2bdd19d2daf9,cifar10,50000,30000,0.6,open-set mask,re-SLN torch openset-mask_cifar10_0.6
b05c254f5b52,cifar10,50000,5102,0.2,asymmetric/cifar10,re-SLN asymmetric_cifar10_0.2
70e5f3e4ec57,cifar10,50000,9908,0.4,asymmetric/cifar10,re-SLN asymmetric_cifar10_0.4
9695cb17ce5f,cifar10,50000,10000,0.2,dependent,re-SLN instance_dependent_cifar10_0.2
2095af81f4c0,cifar10,50000,20000,0.4,dependent,re-SLN instance_dependent_cifar10_0.4
201db7705764,cifar10,50000,8984,0.2,symmetric-inclusive,re-SLN symmetric_cifar10_0.2
2d054a0aad8c,cifar10,50000,17919,0.4,symmetric-inclusive,re-SLN symmetric_cifar10_0.4
8c903b730306,cifar10,50000,26927,0.6,symmetric-inclusive,re-SLN symmetric_cifar10_0.6
65dbd97f3544,cifar10,50000,35888,0.8,symmetric-inclusive,re-SLN symmetric_cifar10_0.8
2eecbf221e01,cifar10,50000,10159,0.4,asymmetric/cifar10,SLN cifar10_asym0.4
c2d45bbccb0a,cifar10,50000,20000,0.4,dependent,SLN cifar10_dependent0.4
82937b6d194b,cifar10,50000,20013,0.4,symmetric,SLN cifar10_sym0.4
a6d83e1ba403,cifar100,50000,0,0,clean,CIFAR-100 clean
dd66a5bfeca2,cifar100,50000,0,0,clean coarse,CIFAR-100 clean_coarse
65ee271bce17,cifar100,10000,0,0,clean test,CIFAR-100 clean_test
ae7fe4e4c04a,cifar100,50000,13202,,human coarse,CIFAR-100N coarse
53374a351a10,cifar100,50000,20100,,human,CIFAR-100N fine
f436760f10c1,cifar100,50000,9924,0.2,asymmetric/superclass_next,DAL asymmetric_cifar100_20
9d22bf5ef19b,cifar100,50000,20072,0.4,asymmetric/superclass_next,DAL asymmetric_cifar100_40
4ab86700d5b0,cifar100,50000,10238,0.2,instance/dal,DAL instance_cifar100_20
8d5223c48b32,cifar100,50000,19974,0.4,instance/dal,DAL instance_cifar100_40
87943ee0cffe,cifar100,50000,9867,0.2,symmetric-inclusive,DAL symmetric_cifar100_20
15357a4acb94,cifar100,50000,19854,0.4,symmetric-inclusive,DAL symmetric_cifar100_40
7d4b8ca35f32,cifar100,50000,29583,0.6,symmetric-inclusive,DAL symmetric_cifar100_60
9f493f4977e5,cifar100,50000,39592,0.8,symmetric-inclusive,DAL symmetric_cifar100_80
6ba3200117aa,cifar100,45000,15866,0.35,pmd/I,LRA cifar100-1-0.35
66cef00311ea,cifar100,45000,24447,,pmd/I + asymmetric/block5,LRA cifar100-1-0.35_A_0.3
801525ddf44e,cifar100,45000,24631,,pmd/I + symmetric,LRA cifar100-1-0.35_U_0.3
14675fffbcd2,cifar100,45000,33312,,pmd/I + symmetric,LRA cifar100-1-0.35_U_0.6
edf36d4bd972,cifar100,45000,31443,0.7,pmd/I,LRA cifar100-1-0.70
cd8bd7bb16d8,cifar100,45000,15604,0.35,pmd/II,PLC cifar100-2-0.35
891b95a4cc8f,cifar100,45000,31519,0.7,pmd/II,PLC cifar100-2-0.70
0df476ad1f5b,cifar100,45000,15957,0.35,pmd/III,PLC cifar100-3-0.35
ce56db6b912e,cifar100,45000,31532,0.7,pmd/III,PLC cifar100-3-0.70
6e8e91fa9d90,cifar100,50000,9928,0.2,asymmetric/next_class,re-SLN asymmetric_cifar100_0.2
481c89ced25a,cifar100,50000,19942,0.4,asymmetric/next_class,re-SLN asymmetric_cifar100_0.4
5e8107783f3b,cifar100,50000,10000,0.2,dependent,re-SLN instance_dependent_cifar100_0.2
9cfc880263f1,cifar100,50000,20000,0.4,dependent,re-SLN instance_dependent_cifar100_0.4
0758595ec932,cifar100,50000,9808,0.2,symmetric-inclusive,re-SLN symmetric_cifar100_0.2
b8799bb4d4a4,cifar100,50000,19805,0.4,symmetric-inclusive,re-SLN symmetric_cifar100_0.4
315d66e0762c,cifar100,50000,29736,0.6,symmetric-inclusive,re-SLN symmetric_cifar100_0.6
f39841c7d72a,cifar100,50000,39607,0.8,symmetric-inclusive,re-SLN symmetric_cifar100_0.8
782185d745e1,cifar100,50000,20006,0.4,asymmetric/next_class,SLN cifar100_asym0.4
06e66894e485,cifar100,50000,20000,0.4,dependent,SLN cifar100_dependent0.4
fdff959040e9,cifar100,50000,19940,0.4,symmetric,SLN cifar100_sym0.4
"""

PUBLISHED = {
    row["content"]: Published(
        content=row["content"],
        dataset=row["dataset"],
        n=int(row["n"]),
        n_flips=int(row["n_flips"]),
        nominal_rate=float(row["nominal_rate"]) if row["nominal_rate"] else None,
        convention=row["convention"],
        name=row["name"],
    )
    for row in csv.DictReader(_FILES.splitlines())
}
"""Every known file by its content."""
