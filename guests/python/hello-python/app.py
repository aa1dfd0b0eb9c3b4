"""A web program in Python: says hello, or sends back what it was sent."""

from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    Method_Post,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)
from componentize_py_types import Err, Ok
from wit_world.imports.streams import StreamError_Closed


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = request.path_with_query()
        if isinstance(request.method(), Method_Post):
            answer = read(request)
        else:
            answer = f"Hello from Python, you asked for {path}".encode()

        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            for start in range(0, len(answer), 4096):
                stream.blocking_write_and_flush(answer[start : start + 4096])
        OutgoingBody.finish(body, None)


def read(request: IncomingRequest) -> bytes:
    """The whole body of a request."""
    whole = b""
    with request.consume() as body, body.stream() as stream:
        while True:
            try:
                whole += stream.blocking_read(64 * 1024)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return whole
                raise
