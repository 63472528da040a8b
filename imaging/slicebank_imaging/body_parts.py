"""Body Part Examined: the defined terms of PS3.16 annex L that CT is made of.

Writers put free text into this element, names of patients among it; only a defined term may be kept.
"""

HEAD_TERMS = frozenset(
    {"BRAIN", "FACE", "HEAD", "HEADNECK", "IAC", "JAW", "MANDIBLE", "MAXILLA", "NOSE", "ORBIT", "SINUS", "SKULL", "TMJ"}
)
"""Parts whose pictures can show a face."""

_OTHER_TERMS = frozenset(
    {
        "ABDOMEN", "ABDOMENPELVIS", "ADRENAL", "ANKLE", "AORTA", "ARM", "AXILLA", "BACK", "BLADDER", "BONE", "BREAST", "BRONCHUS",
        "CALCANEUS", "CAROTID", "CEREBELLUM", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CLAVICLE", "COCCYX", "COLON", "CSPINE",
        "EAR", "ELBOW", "ESOPHAGUS", "EXTREMITY", "FEMUR", "FINGER", "FOOT", "FOREARM", "GALLBLADDER", "HAND", "HEART", "HIP",
        "HUMERUS", "KIDNEY", "KNEE", "LARYNX", "LEG", "LIVER", "LSPINE", "LSSPINE", "LUNG", "MEDIASTINUM", "NECK",
        "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "PANCREAS", "PELVIS", "PROSTATE", "RECTUM", "RIB", "SCAPULA",
        "SHOULDER", "SIJOINT", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "THIGH", "THORAX", "THYROID", "TIBIA",
        "TLSPINE", "TRACHEA", "TRUNK", "TSPINE", "UTERUS", "WHOLEBODY", "WRIST",
    }
)  # fmt: skip


def body_part_term(text: str) -> str:
    """The defined term that a value is, in capitals; empty where it is none."""
    term = text.strip().upper()
    return term if term in HEAD_TERMS or term in _OTHER_TERMS else ""
