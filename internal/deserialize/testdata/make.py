# Makes the containers beside it, with the codecs that the library of the tests does not write: Python's fastavro.
import fastavro

schema = {"type": "record", "name": "User", "namespace": "ex",
          "fields": [{"name": "name", "type": "string"}, {"name": "age", "type": ["null", "int"]}]}
for codec in ("bzip2", "xz"):
    with open(codec + ".avro", "wb") as out:
        fastavro.writer(out, schema, [{"name": "user %d" % i, "age": i if i % 2 else None} for i in range(100)],
                        codec=codec, sync_interval=300)
