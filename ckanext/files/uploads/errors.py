"""What the endpoint of uploads refuses, with the status of its answer."""

from __future__ import annotations

from typing import Any

import ckan.plugins.toolkit as tk

from ckanext.files.error_texts import text_of_errors
from ckanext.files.errors import FilesError


class UploadRefusedError(FilesError):
    """A request for an upload is refused; the text is for users."""

    status = 400
    kind = "Validation Error"

    @property
    def errors(self) -> dict[str, Any]:
        """The errors by their fields, as an action has them."""
        return {"upload": [str(self)]}


class UploadNotFoundError(UploadRefusedError):
    """There is no such upload, or it is another user's: the answer is the same."""

    status = 404
    kind = "Not Found Error"

    def __init__(self) -> None:
        super().__init__(tk._("There is no such upload. Begin it again."))


class UploadGoneError(UploadRefusedError):
    """The upload has expired, or its bytes are lost: the client has to begin again."""

    status = 410
    kind = "Not Found Error"


class BytesLostError(UploadGoneError):
    """The disk or the bucket has not what the row of the upload says."""

    def __init__(self) -> None:
        super().__init__(tk._("The first part of the file is lost. Upload it again."))


class UploadForbiddenError(UploadRefusedError):
    """The user may not upload this file."""

    status = 403
    kind = "Authorization Error"


class NotLoggedInError(UploadForbiddenError):
    """The request has no user. Scripts offer the login after this status, and after no other."""

    status = 401

    def __init__(self) -> None:
        super().__init__(tk._("You are not logged in. Log in, and try again."))


class TooManyUploadsError(UploadForbiddenError):
    """The user has to finish or discard another upload first.

    Not 429, after which clients try again by themselves, nor 409 or 423: waiting does not help.
    """


class WrongOffsetError(UploadRefusedError):
    """The client would continue at another byte than the server: it has to ask for the offset."""

    status = 409

    def __init__(self) -> None:
        sentence = tk._("The upload continues at another position: ask for it, and go on there")
        super().__init__(sentence)


class UploadBusyError(UploadRefusedError):
    """Another request has the upload at this moment: the client may try again."""

    status = 423

    def __init__(self) -> None:
        super().__init__(tk._("Another request continues this upload. Try again."))


class LargeFileError(UploadRefusedError):
    """The file, or the body of the request, is larger than it may be."""

    status = 413


class WrongTypeError(UploadRefusedError):
    """The storage does not take files of this type."""

    status = 415


class WrongBodyTypeError(UploadRefusedError):
    """The body of the request is no part of a file, by its content type."""

    status = 415


class OtherVersionError(UploadRefusedError):
    """The client speaks another version of the protocol."""

    status = 412


class ChecksumMismatchError(UploadRefusedError):
    """The bytes of a request are not those that the client has sent: none of them counts."""

    status = 460

    def __init__(self) -> None:
        super().__init__(tk._("The checksum does not match. Send this part again."))


class InterruptedUploadError(UploadRefusedError):
    """The body of a request has ended before its end; what has come counts.

    A client that is still there, such as one whose server does not wait as long as it pauses, has
    to try again: clients do after this status, and not after 400.
    """

    status = 503

    def __init__(self) -> None:
        super().__init__(tk._("The request was cut off. Go on with the upload."))


class UploadsNotReadyError(UploadRefusedError):
    """The portal is not set up for uploads, or the storage fails at present."""

    status = 503


class StorageFailsError(UploadsNotReadyError):
    """The storage fails at present. The log has its reason, which is not for users."""

    def __init__(self) -> None:
        super().__init__(tk._("The storage has a problem at the moment. Try again later."))


class FileRefusedError(UploadRefusedError):
    """The action ``file_create`` has refused the file.

    :param errors: its errors by their fields.
    """

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__(text_of_errors(errors))
        self._errors = errors

    @property
    def errors(self) -> dict[str, Any]:
        return self._errors


class FileWaitsError(FileRefusedError):
    """Another request stores a file of the same name: the client may try again.

    All bytes are stored, and stay.
    """

    status = 423
