"""The Van Dyke data: 5 radiologists rated 114 patients for aortic dissection on two kinds of MRI, cine and spin echo.

Van Dyke CW, White RD, Obuchowski NA, Geisinger MA, Lorig RJ, Meziane MA. Cine MRI in the diagnosis of thoracic aortic
dissection. 79th RSNA Meetings, Chicago, 1993. Ratings 1 (definitely none) .. 5 (definitely); 69 patients without, then
45 with dissection. The table is public: the example of the programs for reader studies (OR-DBM MRMC, MRMCaov, RJafroc,
iMRMC). Numbers beside it are printed by the University of Iowa's OR-DBM MRMC 2.51 and by JAFROC 4.2.1.
"""

import numpy as np

from coread.statistics.mrmc import ReaderStudy

_RATINGS = {
    ("1", "1"): (
        "122151111111411111111131311214111113121211233131133111111221111332111",
        "555545554555434245555555154454553555115554451",
    ),
    ("1", "2"): (
        "232222222322522232222222422223222222222222222222222222222432232222222",
        "535555542555442225555555243354552425225555352",
    ),
    ("1", "3"): (
        "222235112242422232221232411322112224121412112222223211211221151421212",
        "545555555555542355555555252255552555225555552",
    ),
    ("1", "4"): (
        "111111311111111111112111211112111111111111111111331111111111111311111",
        "555555555555555155555555554544553555125555555",
    ),
    ("1", "5"): (
        "351211112221211122113221111211211231221113332111211111111341231212113",
        "525255551545452235555554144322151515115553552",
    ),
    ("2", "1"): (
        "333222223213122222211111421312214323123122233111333113412421241442111",
        "535555554555544335555555355355554455535555551",
    ),
    ("2", "2"): (
        "322222223222222122221222322222212212222231223222222222322322222222122",
        "535555552555344245455545252355532425525555552",
    ),
    ("2", "3"): (
        "242222322211132222121121411512112122212221132111233113221232341242121",
        "525555555555354145555555253355543555534555551",
    ),
    ("2", "4"): (
        "221111312111122111211111321212111122112111112121212211111212111323211",
        "545555554555455555555555455445555555535555555",
    ),
    ("2", "5"): (
        "223122221222111222122212322321212222112121132122332122221222231233111",
        "525455555455343335555555251332532545533555553",
    ),
}
"""(modality, reader): ratings of the patients without, then with dissection."""

AUCS = (
    (0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066),
    (0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169),
)
"""As printed, modality by reader."""


def study() -> ReaderStudy:
    modalities, readers = ("1", "2"), ("1", "2", "3", "4", "5")
    scores = np.array(
        [[[float(d) for part in _RATINGS[m, r] for d in part] for r in readers] for m in modalities], dtype=np.float64
    )
    return ReaderStudy(modalities, readers, tuple(str(k) for k in range(1, 115)), np.arange(114) >= 69, scores)
