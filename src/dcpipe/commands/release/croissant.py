"""Croissant metadata of an exported set: JSON-LD that describes the parquet file, its columns and its license.

Source: the Croissant format specification, version 1.1 (MLCommons), its JSON-LD context as published there.
"""

from dataclasses import dataclass

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
LICENSES = {
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "cc-by-sa-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "mit": "https://opensource.org/license/mit",
}
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclass(frozen=True, slots=True)
class DatasetMetadata:
    """What the metadata says of a set and of its one file."""

    name: str
    description: str
    license: tuple[str, str]  # identifier and note
    file: str
    sha256: str
    size: int
    is_soft: bool
    version: str
    citation: str


def metadata(described: DatasetMetadata) -> dict[str, object]:
    """The JSON-LD."""
    identifier, note = described.license
    fields = [
        _field("image", "a picture to look at", "sc:ImageObject", transform="bytes"),
        _field("label", "the class that the image was made for, from 0", "sc:Integer"),
        _field("tensor", "the image as networks see it: channels, rows, columns", "sc:Float", is_list=True),
    ]
    if described.is_soft:
        fields.append(_field("logits", "logits whose softmax is the label", "sc:Float", is_list=True))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": described.name,
        "description": f"{described.description} License of the source: {note}",
        "version": described.version,
        "citeAs": described.citation,
        "license": LICENSES.get(identifier, note),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "parquet",
                "name": "parquet",
                "contentUrl": described.file,
                "contentSize": f"{described.size} B",
                "encodingFormat": "application/x-parquet",
                "sha256": described.sha256,
            }
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "train", "name": "train", "field": fields}],
    }


def _field(
    name: str, description: str, kind: str, *, transform: str | None = None, is_list: bool = False
) -> dict[str, object]:
    source: dict[str, object] = {"fileObject": {"@id": "parquet"}, "extract": {"column": name}}
    if transform:
        source["transform"] = {"jsonPath": transform}
    return {
        "@type": "cr:Field",
        "@id": f"train/{name}",
        "name": f"train/{name}",
        "description": description,
        "dataType": kind,
        **({"isArray": True, "arrayShape": "-1"} if is_list else {}),
        "source": source,
    }
