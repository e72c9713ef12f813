import gzip

from interactem.runtime import BytesMessage, operator


def fetch(inputs, context):
    path = context.folder / "received"
    path.write_bytes(inputs.data)
    return path


def put_out(path, context):
    return BytesMessage(data=path.read_bytes())


@operator.staged(prepare=fetch, output=put_out, prepare_concurrency=4, max_concurrency=1, output_concurrency=4)
def pack(path, parameters):
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return packed
