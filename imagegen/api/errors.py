"""What the server answers when it cannot do what a request wants, as OpenAI's service.

    {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}

The client turns the HTTP status into an exception: 400 BadRequestError, 404 NotFoundError,
429 RateLimitError, 500 and more InternalServerError. Met in chapter 11.
"""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class ApiError(Exception):
    """An answer that is an error: its HTTP status, and what its body says.

    param: the parameter that is at fault. code: a word for programs, as message is for people.
    retry_after: seconds after which asking again makes sense.
    """

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        type: str = "invalid_request_error",
        retry_after: int | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": code}}
        self.headers = {"retry-after": str(retry_after)} if retry_after else {}

    def answer(self) -> JSONResponse:
        """The error as a response."""
        return JSONResponse(self.body, self.status, self.headers)


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """A parameter has a value that it cannot have."""
    return ApiError(message, param, code)


def broken(error: BaseException) -> ApiError:
    """The server's own fault, with what is known of it: a learner's server hides nothing."""
    first = (str(error).strip().splitlines() or [""])[0]
    message = f"The server failed to answer: {type(error).__name__}: {first}"
    return ApiError(message, code="server_error", status=500, type="server_error")


def answer_errors(app: FastAPI) -> None:
    """Let the app answer every error that is expected with such a body."""

    @app.exception_handler(ApiError)
    async def expected(request: Request, error: ApiError):
        return error.answer()

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException):
        where = f"{request.method} {request.url.path}"
        reason = ApiError(f"Invalid URL ({where}): {error.detail}.", status=error.status_code)
        return JSONResponse(reason.body, reason.status, error.headers)
