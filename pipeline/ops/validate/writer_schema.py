"""The schema that framed values were written with, as a file has it.

Owns: reading it, and what is said when it is none.
Does not own: what a schema means (codec/).
Invariant: whatever the file holds, the result is the schema of a record or a ConfigError.
"""

from pathlib import Path

from pipeline.codec.avro_bounds import UnresolvableSchemaError, parse_writer_schema
from pipeline.codec.errors import SchemaFileError, readable
from pipeline.codec.schemas import JsonSchema, parse
from pipeline.errors import ConfigError
from pipeline.ops.validate.files import read_file


def read_schema(path: Path) -> JsonSchema:
    """The schema of a record.

    Raises:
        ConfigError: the file cannot be read, or holds none.
    """
    data = read_file(path)
    try:
        text = data.decode()
        parse_writer_schema(text)  # bounded, where the parser of our own files is not
        return parse(text, str(path)).tree
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except UnresolvableSchemaError as error:
        why = str(error)
    except SchemaFileError as error:
        why = _why(error)
    raise ConfigError(
        f"{readable(str(path))} holds no Avro schema of a record",
        why=readable(why),
        fix="give --schema the .avsc that the values were written with",
        path=readable(str(path)),
    )


def _why(error: SchemaFileError) -> str:
    cause = error.__cause__
    if isinstance(cause, KeyError):
        return f"something in it has no {cause.args[0]!r}"
    if isinstance(cause, (TypeError, AttributeError)):
        return "something in it is no type"
    if isinstance(cause, ValueError):
        return f"nobody knows the type {cause}"
    return error.why or "it is the schema of something else"
