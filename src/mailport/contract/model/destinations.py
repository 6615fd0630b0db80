"""PURE. spec.routes[].deliver: where mail goes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from mailport.contract.formats import (
    BucketName,
    ClaimName,
    DeliverySeconds,
    DirectoryMode,
    FileMode,
    FolderName,
    HostNameOrAddress,
    HttpUrl,
    KeyPrefix,
    KmsKeyId,
    Maybe,
    NatsUrl,
    ObjectStoreName,
    Port,
    Region,
    ReplyText,
    StreamName,
    SubaddressDelimiter,
    Subject,
)
from mailport.contract.model.base import Model
from mailport.contract.model.listeners import TlsMode
from mailport.contract.model.references import CaRef, SecretKeyRef, SecretRef


class CreateMailboxes(StrEnum):
    """Whether mail makes its own folder."""

    ALWAYS = "Always"
    NEVER = "Never"


class MaildirCommit(StrEnum):
    """How a disk is made to hold mail before its 250."""

    AUTO = "Auto"
    FILE_SYNC = "FileSync"


class Maildir(Model):
    """Folders on disk: `<mail root>/<claimName or "default">/<domain>/<local part>/{tmp,new,cur}`."""

    claim_name: Maybe[ClaimName] = None
    """PersistentVolumeClaim that holds the mail; may not be called `default`.
    Default: none, an emptyDir: mail is lost with the pod, and DeliveryDurable is False."""

    create_mailboxes: CreateMailboxes = CreateMailboxes.ALWAYS
    """`Always`: the first message makes the folder. `Never`: a recipient without one is 550 5.1.1."""

    strip_subaddress: SubaddressDelimiter = "+"
    """Delimiter of a subaddress (RFC 5233): with `+`, anna+shop@ is anna's mailbox. "" keeps the whole local part."""

    commit: MaildirCommit = MaildirCommit.AUTO
    """How the disk is made to hold mail before its 250. `Auto`: for a group of messages together, the journal of ext4
    or xfs is synced, or the claim's whole file system, where it is one of its own; else each file and each folder, as
    with `FileSync`."""

    quarantine_folder: FolderName = "Junk"
    """Maildir++ folder below the mailbox for quarantined mail (`spec.checks.dmarc.mode`), made also under
    `createMailboxes: Never`. "" is the inbox."""

    file_mode: FileMode = "0660"
    """Octal mode of messages. The group is `spec.pod.fsGroup`, so that an IMAP server in that group can read."""

    directory_mode: DirectoryMode = "0770"
    """Octal mode of folders, for the same reason."""

    @property
    def file_mode_bits(self) -> int:
        """The mode of messages as `os.open` takes it."""
        return int(self.file_mode, 8)

    @property
    def directory_mode_bits(self) -> int:
        """The mode of folders as `os.mkdir` takes it."""
        return int(self.directory_mode, 8)


class StoreTls(Model):
    """How an object store proves who it is: for the host of `endpoint`."""

    ca_ref: Maybe[CaRef] = None
    """CA certificates that are trusted beside the public CAs. Default: the public CAs."""


class ClientTls(Model):
    """How a destination proves who it is."""

    server_name: Maybe[HostNameOrAddress] = None
    """Name that its certificate must have, and SNI. Default: the host of `url`, `endpoint` or `host`."""

    ca_ref: Maybe[CaRef] = None
    """CA certificates that are trusted, and no others. Default: the public CAs."""


def _no_opportunism(mode: TlsMode) -> TlsMode:
    # LMTP stays within a cluster, where whether TLS works is known: it is on, or off.
    if mode is TlsMode.START_TLS:
        raise ValueError('must be one of "Disabled", "StartTLSRequired", "Implicit"')
    return mode


class LmtpTls(ClientTls):
    """TLS towards an LMTP server."""

    mode: Annotated[TlsMode, AfterValidator(_no_opportunism)] = TlsMode.DISABLED
    """`Disabled`, `StartTLSRequired` or `Implicit`. LMTP servers stand next door and rarely speak TLS."""


class SmtpTls(ClientTls):
    """TLS towards a mail server."""

    mode: TlsMode = TlsMode.START_TLS
    """`Disabled`, `StartTLS` (where it is offered), `StartTLSRequired` or `Implicit`. A mail server on port 25 may or
    may not have TLS."""


class Lmtp(Model):
    """To a mailbox server, by LMTP (RFC 2033)."""

    host: HostNameOrAddress
    """Name or address of the server. A local address needs the operator's `--allow localDestinations`."""

    port: Port
    """Its TCP port; LMTP has none by default, 24 is usual."""

    tls: LmtpTls = LmtpTls()
    """TLS towards it."""

    timeout_seconds: DeliverySeconds = 60
    """Seconds for the whole delivery. Servers scan before they answer."""


class Smtp(Model):
    """To another mail server, by SMTP; for a wildcard only with `clients: Authenticated`."""

    host: HostNameOrAddress
    """Name or address of the server. A local address needs the operator's `--allow localDestinations`."""

    port: Port = 25
    """Its TCP port."""

    tls: SmtpTls = SmtpTls()
    """TLS towards it."""

    timeout_seconds: DeliverySeconds = 60
    """Seconds for the whole delivery. Servers scan before they answer."""

    credentials_secret_ref: Maybe[SecretRef] = None
    """Secret with keys `username` and `password`; needs `tls.mode` StartTLSRequired or Implicit. Default: no AUTH."""


class WebhookFormat(StrEnum):
    """What a webhook is sent."""

    RAW = "Raw"
    JSON = "JSON"
    CLOUD_EVENTS = "CloudEvents"


class Webhook(Model):
    """To a program, by HTTP POST."""

    url: HttpUrl
    """Where to; http or https, without user and password in it. A local address needs the operator's
    `--allow localDestinations`."""

    format: WebhookFormat = WebhookFormat.RAW
    """`Raw`: the message itself (message/rfc822), nothing lost; the envelope in header fields. `JSON`: envelope,
    session, headers, text, html and attachments. `CloudEvents`: as Raw, and an event in binary mode."""

    signing_secret_ref: Maybe[SecretKeyRef] = None
    """Key for an HMAC-SHA256 signature by Standard Webhooks: base64 of 24 to 64 octets, with or without `whsec_` in
    front. Of several, one a line, each signs. Default: none, no signature."""

    credentials_secret_ref: Maybe[SecretRef] = None
    """Secret with the key `token` (Bearer), or `username` and `password` (Basic). Default: none."""

    timeout_seconds: DeliverySeconds = 30
    """Seconds for the whole delivery; the sender waits as long."""

    tls: ClientTls = ClientTls()
    """TLS towards it."""


class Encryption(StrEnum):
    """S3's encryption at rest."""

    AES256 = "AES256"
    AWS_KMS = "aws:kms"


class S3(Model):
    """To a bucket, an object a message: `<prefix><yyyy>/<mm>/<dd>/<id>.eml`."""

    bucket: BucketName
    """The bucket."""

    prefix: KeyPrefix = ""
    """What object keys begin with."""

    region: Region = "us-east-1"
    """Region; other stores than AWS mostly take any."""

    endpoint: Maybe[HttpUrl] = None
    """URL of the store. A local address needs the operator's `--allow localDestinations`. Default: AWS's own for the
    region."""

    server_side_encryption: Maybe[Encryption] = None
    """`AES256` or `aws:kms`. Default: none asked for, the bucket's own setting holds."""

    kms_key_id: Maybe[KmsKeyId] = None
    """Key for `aws:kms`. Default: the account's own."""

    credentials_secret_ref: Maybe[SecretRef] = None
    """Secret with keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and optionally AWS_SESSION_TOKEN.
    Default: the pod's workload identity (web identity, EKS Pod Identity), never the node's role."""

    timeout_seconds: DeliverySeconds = 30
    """Seconds for the whole delivery."""

    tls: StoreTls = StoreTls()
    """TLS towards it."""


class Nats(Model):
    """To a JetStream stream: a message for each subject that the recipients come to."""

    url: NatsUrl
    """Server; nats or tls, without user and password in it. A local address needs the operator's
    `--allow localDestinations`."""

    stream: StreamName
    """Stream that must exist, with storage file: 250 rests on its acknowledgement."""

    subject: Subject
    """Subject, with `{domain}` and `{local}` of the recipient. Octets outside A-Za-z0-9_- become =XX there; the dots of
    the domain stay."""

    object_store: Maybe[ObjectStoreName] = None
    """Object store for messages over the server's max_payload. Default: none, such a message is refused with 552."""

    credentials_secret_ref: Maybe[SecretRef] = None
    """Secret with the key `creds`, `nkey` or `token`, or `username` and `password`. Default: none."""

    timeout_seconds: DeliverySeconds = 30
    """Seconds for the whole delivery."""

    tls: ClientTls = ClientTls()
    """TLS towards it."""

    @property
    def insists_on_tls(self) -> bool:
        """Whether nothing is said, no login either, to a server that does not offer TLS."""
        return self.url.lower().startswith("tls:") or self.tls != ClientTls()


class Discard(Model):
    """Nowhere: taken with 250, and gone."""


class Refuse(Model):
    """550 5.1.1 at RCPT: takes an address out of a later catch-all."""

    text: ReplyText = "no such recipient here"
    """What the sender is told: printable ASCII, one line."""


Destination = Maildir | Lmtp | Smtp | Webhook | S3 | Nats | Discard | Refuse


class Deliver(Model):
    """Where a route's mail goes: exactly one of these."""

    maildir: Maybe[Maildir] = None
    """Folders on disk. Default: none."""

    lmtp: Maybe[Lmtp] = None
    """A mailbox server, by LMTP. Default: none."""

    smtp: Maybe[Smtp] = None
    """Another mail server, by SMTP. Default: none."""

    webhook: Maybe[Webhook] = None
    """A program, by HTTP POST. Default: none."""

    s3: Maybe[S3] = None
    """A bucket of an object store, by S3. Default: none."""

    nats: Maybe[Nats] = None
    """A stream of NATS JetStream. Default: none."""

    discard: Maybe[Discard] = None
    """Nowhere, with 250; written `discard: {}`. Default: none."""

    refuse: Maybe[Refuse] = None
    """Nowhere, with 550. Default: none."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the destinations that are set: one, once rules.py has looked."""
        return tuple(kind for kind in type(self).model_fields if getattr(self, kind) is not None)

    @property
    def kind(self) -> str:
        """The name of the destination: "maildir", "lmtp", …."""
        return self.kinds[0]

    @property
    def destination(self) -> Destination:
        """The destination's own settings."""
        destination: Destination = getattr(self, self.kind)
        return destination

    @property
    def timeout_seconds(self) -> int:
        """Seconds that one delivery may take; 0 where nothing is waited for.

        A mailbox has no field for it: a disk that takes a minute hangs.
        """
        if self.maildir is not None:
            return 60
        return getattr(self.destination, "timeout_seconds", 0)
