"""Where the real CT comes from on which the encoder that slicebank ships was pre-trained, and how to gather it again.

`sources.toml` names every repository with its full commit, the collection whose slices it passes on, its terms and how to cite it, and where lesion boxes come from.
Clone those repositories into one folder as OWNER/NAME or OWNER+NAME, bare or not (`git clone --bare https://github.com/OWNER/NAME DIR/OWNER+NAME`), whole, since commits are old
and files are read from the commit and not from the work tree. Two commands then give the cache, two more the encoder (docs/model_card.md):

    python -m benchmarks.shipped_encoder.collect --checkouts DIR --out FOLDER --shelf CT
    slicebank pretrain cache FOLDER --boxes FOLDER/boxes.csv --out CACHE --side 256
    slicebank pretrain run CACHE --settings benchmarks/shipped_encoder/settings.toml --out RUN
    slicebank pretrain export RUN --id mambaout_femto.lecl --input-size 160 --fp16

CT is the folder `ct` of the real CT that the tests read (`SLICEBANK_TEST_DATA`); without it 328 slices of five patients are missing. FOLDER takes about 1.2 GB.

| what `collect` writes | |
|---|---|
| `COLLECTION/PATIENT/SERIES/SOP.dcm` | axial slices, byte for byte as they were committed |
| `shelf/...` | series of the folder CT, whole |
| `boxes.csv` | lesion boxes in the columns of docs/pretraining_data.md |
| `sources.csv` | a line a series: repository, commit, path, collection, terms, patient, scanner, slices |

A slice is taken where it is CT, says where and how it lies, is axial, has a rescale slope, can be decoded, belongs to the collection that `sources.toml` names, states no birth date
and has not been taken before. What is left out is counted by reason, and so is whatever differs from the counts of `sources.toml`.
"""
