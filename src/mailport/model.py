"""PURE. The contract in code: an InboundSmtp, with every default.

Below each field stands what it means, its unit, its default and why that default; `docs/fields.md` is made of these
texts. Shape is checked here, and what a single field may hold (formats.py); what fields say together is in rules.py.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mailport import quantity, shape
from mailport.faults import Invalid
from mailport.formats import (
    AccessEntry,
    AddressOrCidr,
    Annotations,
    Between,
    BucketName,
    Bytes,
    Cidr,
    ClaimName,
    Count,
    DataKey,
    DeliverySeconds,
    DirectoryMode,
    DnsLabel,
    DomainName,
    FileMode,
    GatewayName,
    Host,
    HttpUrl,
    ImageReference,
    JsonObject,
    KeyPrefix,
    KmsKeyId,
    Labels,
    ListenerName,
    Mailbox,
    MaxRecipients,
    Maybe,
    NatsUrl,
    ObjectName,
    ObjectStoreName,
    PodCount,
    PodLabels,
    Port,
    PosixId,
    QualifiedName,
    RecipientPattern,
    Region,
    Replicas,
    ReplyText,
    Seconds,
    StreamName,
    SubaddressDelimiter,
    Subject,
)


class Model(BaseModel):
    """Frozen, strict, nothing unknown; camelCase in documents, snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,  # for construction in Python; `parse_json` takes aliases only
    )

    @classmethod
    def parse_json(cls, document: bytes | str) -> Self:
        """Read a document, strictly; raises Invalid with every fault of its shape. rules.py is left to the caller."""
        try:
            return cls.model_validate_json(document, by_alias=True, by_name=False)
        except ValidationError as error:
            raise Invalid(shape.faults(error)) from None


# --- references


class SecretRef(Model):
    """A Secret in the gateway's own namespace."""

    name: ObjectName
    """Name of the Secret."""


class SecretKeyRef(SecretRef):
    """One key of a Secret."""

    key: DataKey
    """Key within the Secret."""


class CaKind(StrEnum):
    """What holds a CA bundle."""

    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"  # noqa: S105 - a kind of object


class CaRef(Model):
    """A PEM bundle of CA certificates."""

    kind: CaKind = CaKind.CONFIG_MAP
    """`ConfigMap` or `Secret`. A CA's certificate is public, so a ConfigMap is the usual place."""

    name: ObjectName
    """Name of that object."""

    key: DataKey = "ca.crt"
    """Key within it. cert-manager and trust-manager write `ca.crt`."""


# --- listeners


class TlsMode(StrEnum):
    """When TLS begins."""

    DISABLED = "Disabled"
    START_TLS = "StartTLS"
    START_TLS_REQUIRED = "StartTLSRequired"
    IMPLICIT = "Implicit"


class AuthMode(StrEnum):
    """On which connections AUTH is offered."""

    ALWAYS = "Always"
    NEVER = "Never"
    SECURE_ONLY = "SecureOnly"


class ListenerTls(Model):
    """When TLS begins on this port."""

    mode: Maybe[TlsMode] = None
    """`Disabled`: never. `StartTLS`: when the client asks (RFC 3207). `StartTLSRequired`: nothing of use before it.
    `Implicit`: from the first byte (RFC 8314). All but `Disabled` need `spec.tls`.
    Default: `StartTLS` where `spec.tls` is set, else `Disabled`."""


class ListenerAuth(Model):
    """Who must prove who they are on this port."""

    mode: Maybe[AuthMode] = None
    """`Always`: AUTH on any connection, in clear too. `SecureOnly`: only over TLS. `Never`: not offered. `Always` and
    `SecureOnly` need `spec.auth`.
    Default: `SecureOnly` where `spec.auth` is set, else `Never`."""

    required: bool = False
    """Whether MAIL needs AUTH first. Right for submission; on port 25 other mail servers could send nothing."""


class ProxyProtocol(Model):
    """PROXY headers, version 1 and 2: a load balancer's word for who the client is."""

    trusted_cidrs: Annotated[tuple[Cidr, ...], Field(alias="trustedCIDRs", min_length=1, max_length=256)]
    """The peers that must send a header, as CIDRs; connections of all others are closed. Name the load balancers and
    nobody else: who is trusted here can claim any address."""


class Listener(Model):
    """One port."""

    name: ListenerName
    """Unique; the Service port's name too. At most 15 of a-z, 0-9 and -, with a letter in it, and not `admin`."""

    port: Port
    """TCP port that is bound, and the Service's. Unique, and not `spec.pod.adminPort`."""

    node_port: Maybe[Port] = None
    """The Service's nodePort. Needs `spec.service.type` NodePort or LoadBalancer. Default: chosen by Kubernetes."""

    tls: ListenerTls = ListenerTls()
    """When TLS begins."""

    auth: ListenerAuth = ListenerAuth()
    """Who must prove who they are."""

    proxy_protocol: Maybe[ProxyProtocol] = None
    """Whose PROXY headers are believed. Default: none, PROXY headers are not understood."""


# --- TLS and users


class TlsVersion(StrEnum):
    """The TLS versions that are served."""

    V1_2 = "TLSv1.2"
    V1_3 = "TLSv1.3"


class Tls(Model):
    """The certificates of all listeners."""

    certificate_refs: Annotated[tuple[SecretRef, ...], Field(min_length=1, max_length=16)]
    """`kubernetes.io/tls` Secrets: `tls.crt` with its chain, `tls.key`. The first is the default, the others are chosen
    by SNI from the names in them."""

    min_version: TlsVersion = TlsVersion.V1_2
    """Oldest version accepted. With 1.3 alone, many mail servers would fall back to clear text."""


class HtpasswdKeyRef(SecretRef):
    """The key of a Secret that holds users."""

    key: DataKey = "htpasswd"
    """Key within the Secret."""


class Htpasswd(Model):
    """Users from a file of `user:hash` lines, the hash argon2id or bcrypt (`mailport hash-password` makes one)."""

    secret_ref: HtpasswdKeyRef
    """Where the lines are."""


class SenderMatch(StrEnum):
    """Whether MAIL FROM must be the user's own."""

    ANY = "Any"
    USER = "User"


class Auth(Model):
    """The users who can log in, by AUTH PLAIN and LOGIN."""

    htpasswd: Htpasswd
    """The file of users."""

    sender_match: SenderMatch = SenderMatch.ANY
    """`User`: MAIL FROM must be the user's own name, or `<>`; needs user names that are addresses. `Any`: it is not
    compared, which programs that send for several addresses need."""


# --- limits and content


class Limits(Model):
    """What a client may use. 0 is no limit for max…, minDataRate, commandTimeoutSeconds and dataTimeoutSeconds."""

    max_connections: Count = 1000
    """Concurrent connections of one replica, all listeners together. Each takes less than 1 MiB,
    so these fit in 1 GiB."""

    max_connections_per_client: Count = 100
    """Concurrent connections of one client: an IPv4 address or an IPv6 /64 (in 64:ff9b::/96, its IPv4). A tenth of the
    whole, so that one client cannot shut out the others."""

    max_recipients: MaxRecipients = 100
    """Recipients of one message. 0 or at least 100, which RFC 5321 §4.5.3.1.8 asks everyone to take."""

    max_errors: Count = 20
    """5yz replies and unknown commands in one session; the next is 421 and the end. Enough for a person at a terminal,
    too few to guess addresses with."""

    max_auth_failures: Count = 3
    """Failed AUTHs in one session; the next is 421, unchecked. Three typing errors, as everywhere."""

    command_timeout_seconds: Seconds = 300
    """Seconds from our last reply to the end of the next line; single bytes do not reset it. RFC 5321 §4.5.3.2.7."""

    data_timeout_seconds: Seconds = 180
    """Seconds without a byte within a message, counted only while we are reading. RFC 5321 §4.5.3.2.5."""

    min_data_rate: Count = 500
    """Bytes a second of message data, averaged, from 30 seconds on and only while we are reading. Slower than any modem
    that is left, faster than what ties up connections on purpose."""

    drain_seconds: Maybe[Annotated[int, Between(1, 600)]] = None
    """Seconds that open transactions get when a replica stops.
    Default: the longest `timeoutSeconds` of a route (30 where none has one) + 10."""

    shutdown_delay_seconds: Annotated[int, Between(0, 300)] = 5
    """Seconds for which a stopping pod is not ready but serves on, while load balancers notice. Pods only: `serve` on
    its own stops without."""


class MessageSize(Model):
    """How large a message may be: octets as RFC 1870 counts them."""

    advertised: Bytes = 25 * quantity.MI
    """SIZE in EHLO: bytes, or a whole binary or decimal quantity (`25Mi`, `25M`), at most 1Ti; 0 is no limit. 25Mi is
    what people have come to expect of attachments."""

    enforce: bool = True
    """Whether a larger message is refused (552, checked as it arrives). false: advertised only, all are taken."""


class BareNewlines(StrEnum):
    """What becomes of a CR or LF that stands alone."""

    NORMALIZE = "Normalize"
    REJECT = "Reject"


class Content(Model):
    """What message content must be like. Only CRLF.CRLF ends a message, whatever is set here."""

    bare_newlines: BareNewlines = BareNewlines.NORMALIZE
    """`Normalize`: a bare CR or LF becomes CRLF before any destination sees it, so that none can be smuggled past.
    `Reject`: 550. Normalising keeps mail from careless programs coming."""


# --- who may connect, and where


class AccessPolicy(StrEnum):
    """What the list of addresses means."""

    DENY_LISTED = "DenyListed"
    ALLOW_LISTED = "AllowListed"


class Access(Model):
    """Which clients may connect."""

    policy: AccessPolicy
    """`DenyListed`: the listed are banned. `AllowListed`: the listed are the only ones let in."""

    addresses: Annotated[tuple[AccessEntry, ...], Field(max_length=4096)] = ()
    """Addresses, CIDRs, IPv4 with `*` for any trailing or middle field (`192.168.*` is `192.168.*.*`), or `*` for all.
    An empty AllowListed lets nobody in."""


class IpFamily(StrEnum):
    """IP version 4 or 6."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Network(Model):
    """Which addresses are listened on."""

    ip_families: Maybe[Annotated[tuple[IpFamily, ...], Field(min_length=1, max_length=2)]] = None
    """`IPv4`, `IPv6` or both; leave IPv6 out to refuse its clients. Default: both, where the host has them."""

    bind_addresses: Annotated[tuple[AddressOrCidr, ...], Field(max_length=64)] = ()
    """Addresses of the host, or CIDRs that they lie in; none listed is all. In Kubernetes these are the node's and need
    `hostNetwork`."""

    host_network: bool = False
    """Whether pods use the node's network. false: it is outside the `restricted` Pod Security Standard."""


# --- where mail goes


class CreateMailboxes(StrEnum):
    """Whether mail makes its own folder."""

    ALWAYS = "Always"
    NEVER = "Never"


class Maildir(Model):
    """Folders on disk: `<mail root>/<claimName or "default">/<domain>/<local part>/{tmp,new,cur}`."""

    claim_name: Maybe[ClaimName] = None
    """PersistentVolumeClaim that holds the mail; may not be called `default`.
    Default: none, an emptyDir: mail is lost with the pod, and DeliveryDurable is False."""

    create_mailboxes: CreateMailboxes = CreateMailboxes.ALWAYS
    """`Always`: the first message makes the folder. `Never`: a recipient without one is 550 5.1.1."""

    strip_subaddress: SubaddressDelimiter = "+"
    """Delimiter of a subaddress (RFC 5233): with `+`, anna+shop@ is anna's mailbox. "" keeps the whole local part."""

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


class ClientTls(Model):
    """How a destination proves who it is."""

    server_name: Maybe[Host] = None
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
    """To a mailbox server, by LMTP (RFC 2033). Not in this version."""

    host: Host
    """Name or address of the server."""

    port: Port
    """Its TCP port; LMTP has none by default, 24 is usual."""

    tls: LmtpTls = LmtpTls()
    """TLS towards it."""

    timeout_seconds: DeliverySeconds = 60
    """Seconds for the whole delivery. Servers scan before they answer."""


class Smtp(Model):
    """To another mail server, by SMTP; for a wildcard only with `clients: Authenticated`. Not in this version."""

    host: Host
    """Name or address of the server."""

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


class Webhook(Model):
    """To a program, by HTTP POST. Not in this version."""

    url: HttpUrl
    """Where to; http or https, without user and password in it."""

    format: WebhookFormat = WebhookFormat.RAW
    """`Raw`: the message itself (message/rfc822), nothing lost. `JSON`: envelope, session, headers, text, html and
    attachments."""

    signing_secret_ref: Maybe[SecretKeyRef] = None
    """Key for an HMAC-SHA256 signature, with the header names of Standard Webhooks. Default: none, no signature."""

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
    """To a bucket, an object a message. Not in this version."""

    bucket: BucketName
    """The bucket."""

    prefix: KeyPrefix = ""
    """What object keys begin with."""

    region: Region = "us-east-1"
    """Region; other stores than AWS mostly take any."""

    endpoint: Maybe[HttpUrl] = None
    """URL of the store. Default: AWS's own for the region."""

    server_side_encryption: Maybe[Encryption] = None
    """`AES256` or `aws:kms`. Default: none asked for, the bucket's own setting holds."""

    kms_key_id: Maybe[KmsKeyId] = None
    """Key for `aws:kms`. Default: the account's own."""

    credentials_secret_ref: Maybe[SecretRef] = None
    """Secret with keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and optionally AWS_SESSION_TOKEN.
    Default: the pod's workload identity."""

    timeout_seconds: DeliverySeconds = 30
    """Seconds for the whole delivery."""

    tls: ClientTls = ClientTls()
    """TLS towards it."""


class Nats(Model):
    """To a JetStream stream, a message each. Not in this version."""

    url: NatsUrl
    """Server; nats or tls, without user and password in it."""

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
    """A mailbox server; not in this version. Default: none."""

    smtp: Maybe[Smtp] = None
    """Another mail server; not in this version. Default: none."""

    webhook: Maybe[Webhook] = None
    """A program; not in this version. Default: none."""

    s3: Maybe[S3] = None
    """A bucket; not in this version. Default: none."""

    nats: Maybe[Nats] = None
    """A stream; not in this version. Default: none."""

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


class Clients(StrEnum):
    """From whom a route takes mail."""

    ANYONE = "Anyone"
    AUTHENTICATED = "Authenticated"


class Route(Model):
    """Recipients, and where their mail goes."""

    name: DnsLabel
    """Unique; stands in logs and metrics."""

    recipients: Annotated[tuple[RecipientPattern, ...], Field(min_length=1, max_length=100)]
    """Patterns of addresses. `*` is the only special character and never crosses the @; `*` alone is `*@*`. Case does
    not matter, and no subaddress is stripped."""

    clients: Clients = Clients.ANYONE
    """`Anyone` or `Authenticated`. Mail from outside comes without authentication; `smtp` with a wildcard domain must
    say Authenticated, it would be an open relay."""

    max_concurrent: Annotated[int, Between(1, 10_000)] = 50
    """Deliveries of this route at once in one replica; more wait 5 seconds, then get 451. Few enough for a modest
    destination."""

    deliver: Deliver
    """Where mail goes: exactly one destination."""


# --- Kubernetes


class ServiceType(StrEnum):
    """Kubernetes' types of Service, and none at all."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"
    NONE = "None"


class TrafficPolicy(StrEnum):
    """Whether a node hands connections on to other nodes, and so hides the client's address."""

    LOCAL = "Local"
    CLUSTER = "Cluster"


class Service(Model):
    """The Service in front of the pods. Kubernetes only."""

    type: ServiceType = ServiceType.CLUSTER_IP
    """`ClusterIP`, `NodePort`, `LoadBalancer`, or `None` (hostNetwork, Gateway). Nothing opens to the world unasked."""

    external_traffic_policy: Maybe[TrafficPolicy] = None
    """`Local` or `Cluster`. Default: `Local` for LoadBalancer and NodePort, so that the client's address survives."""

    annotations: Annotations = {}
    """Annotations of the Service; many load balancers are set up by these."""

    load_balancer_class: Maybe[QualifiedName] = None
    """Which implementation serves it. Default: the cluster's."""

    load_balancer_source_ranges: Annotated[tuple[Cidr, ...], Field(max_length=256)] = ()
    """CIDRs that the load balancer lets in; none listed is all."""

    allocate_load_balancer_node_ports: Maybe[bool] = None
    """Whether a LoadBalancer gets node ports too. Default: Kubernetes' own, true."""


class Pod(Model):
    """What the pods get beyond the defaults. Kubernetes only."""

    image: Maybe[ImageReference] = None
    """Listener image; pins this gateway's version. Default: the operator's `--listener-image`."""

    config_format: Maybe[Annotated[int, Between(1, 1000)]] = None
    """Format of the configuration that this image reads. Default: the operator's `--listener-format`."""

    image_pull_secrets: Annotated[tuple[SecretRef, ...], Field(max_length=16)] = ()
    """Secrets to pull the image with."""

    service_account_name: Maybe[ObjectName] = None
    """ServiceAccount, for a workload identity. Default: one of its own, without a token."""

    admin_port: Port = 8080
    """TCP port of health and metrics, never one of the listeners'."""

    scratch_size: Annotated[Bytes, Between(1, quantity.TI)] = quantity.GI
    """emptyDir for messages on their way to a webhook or NATS; a quantity. Nothing in it is worth keeping."""

    run_as_user: Maybe[PosixId] = None
    """User id of the listener. Default: 10001; with hostNetwork, root without capabilities but one."""

    fs_group: Maybe[PosixId] = None
    """Group id that owns the mail. Default: 10001."""

    resources: JsonObject = {"requests": {"cpu": "100m", "memory": "128Mi"}}
    """Kubernetes' ResourceRequirements. Requests that an idle gateway needs; no limit, which would cut off mail."""

    node_selector: Labels = {}
    """Labels that the node must have."""

    affinity: JsonObject = {}
    """Kubernetes' Affinity."""

    tolerations: Annotated[tuple[JsonObject, ...], Field(max_length=64)] = ()
    """Kubernetes' Tolerations."""

    topology_spread_constraints: Maybe[Annotated[tuple[JsonObject, ...], Field(max_length=16)]] = None
    """Kubernetes' TopologySpreadConstraints. Default: spread over nodes, ScheduleAnyway."""

    priority_class_name: Maybe[ObjectName] = None
    """PriorityClass. Default: the cluster's."""

    labels: PodLabels = {}
    """Further labels; keys of mailport.dev and app.kubernetes.io are the operator's own and refused."""

    annotations: Annotations = {}
    """Further annotations."""


class Autoscaling(Model):
    """An autoscaling/v2 HorizontalPodAutoscaler on the Deployment; `spec.replicas` is then left alone."""

    min_replicas: Annotated[int, Between(1, 1000)] = 1
    """Fewest replicas."""

    max_replicas: Annotated[int, Between(1, 1000)]
    """Most replicas; not below minReplicas."""

    metrics: Annotated[tuple[JsonObject, ...], Field(max_length=16)] = ()
    """Kubernetes' MetricSpecs; none listed is CPU at 70 % of its request."""


class DisruptionBudget(Model):
    """How many pods a drain of nodes may take at once."""

    max_unavailable: PodCount = 1
    """A number of pods, or a percentage. One, so that the others carry on."""


class NetworkPolicyMode(StrEnum):
    """Whether the operator keeps a NetworkPolicy."""

    UNMANAGED = "Unmanaged"
    MANAGED = "Managed"


class Management(StrEnum):
    """Whether the operator acts."""

    MANAGED = "Managed"
    SUSPENDED = "Suspended"


# --- the whole


class Spec(Model):
    """One gateway."""

    hostname: DomainName
    """Fully qualified name in greeting, EHLO and Received. Should resolve to the gateway, and back."""

    postmaster: Maybe[Mailbox] = None
    """Address that `RCPT TO:<postmaster>` means (RFC 5321 §4.5.1). Default: `postmaster@<hostname>`."""

    replicas: Replicas = 1
    """Pods; left alone while `autoscaling` is set."""

    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=16)]
    """The ports."""

    tls: Maybe[Tls] = None
    """The certificates. Default: none, no listener speaks TLS."""

    auth: Maybe[Auth] = None
    """The users. Default: none, nobody can log in."""

    limits: Limits = Limits()
    """What a client may use."""

    message_size: MessageSize = MessageSize()
    """How large a message may be."""

    content: Content = Content()
    """What content must be like."""

    access: Maybe[Access] = None
    """Which clients may connect. Default: everyone."""

    network: Network = Network()
    """Which addresses are listened on."""

    routes: Annotated[tuple[Route, ...], Field(min_length=1, max_length=64)]
    """Who may send to whom, and where it goes: the first that matches. What no route takes is refused at RCPT, so this
    is never an open relay."""

    service: Service = Service()
    """The Service in front of the pods."""

    pod: Pod = Pod()
    """What the pods get beyond the defaults."""

    autoscaling: Maybe[Autoscaling] = None
    """Scaling by load. Default: none."""

    disruption_budget: Maybe[DisruptionBudget] = None
    """What a drain of nodes may take. Default: `{maxUnavailable: 1}` where more than one replica can be."""

    network_policy: NetworkPolicyMode = NetworkPolicyMode.UNMANAGED
    """`Managed`: only the listeners' ports and the admin port come in. `Unmanaged`: as the namespace has it, since
    clusters differ in how they treat load balancers there."""

    management: Management = Management.MANAGED
    """`Suspended`: the operator looks and reports, and touches nothing."""

    def tls_mode(self, listener: Listener) -> TlsMode:
        """When TLS begins on this listener, be it written or by default."""
        return listener.tls.mode or (TlsMode.START_TLS if self.tls else TlsMode.DISABLED)

    def auth_mode(self, listener: Listener) -> AuthMode:
        """Where AUTH is offered on this listener, be it written or by default."""
        return listener.auth.mode or (AuthMode.SECURE_ONLY if self.auth else AuthMode.NEVER)

    @property
    def postmaster_address(self) -> str:
        """What `<postmaster>` stands for."""
        return self.postmaster or f"postmaster@{self.hostname}"

    @property
    def drain_seconds(self) -> int:
        """Seconds that open transactions get when the process stops."""
        timeouts = [getattr(route.deliver.destination, "timeout_seconds", 0) for route in self.routes]
        return self.limits.drain_seconds or (max(timeouts) or 30) + 10

    @property
    def external_traffic_policy(self) -> TrafficPolicy | None:
        """How outside traffic reaches the pods; None where the Service takes none."""
        if self.service.type in {ServiceType.LOAD_BALANCER, ServiceType.NODE_PORT}:
            return self.service.external_traffic_policy or TrafficPolicy.LOCAL
        return None


class Metadata(Model):
    """What of an object's metadata matters here; the rest belongs to Kubernetes."""

    model_config = ConfigDict(extra="ignore")

    name: GatewayName
    """A DNS label that starts with a letter, at most 50 characters: children's names add to it."""

    namespace: Maybe[DnsLabel] = None
    """Namespace. Default: kubectl's."""

    generation: Annotated[int, Between(0, (1 << 63) - 1)] = 0
    """Kubernetes' own count of the spec's changes, reported in `/status`; 0 is a file that never was in a cluster."""


class InboundSmtp(Model):
    """The document."""

    api_version: Literal["mailport.dev/v1alpha1"]
    kind: Literal["InboundSmtp"]
    metadata: Metadata
    spec: Spec
    status: Annotated[None, BeforeValidator(lambda _: None)] = Field(default=None, exclude=True, repr=False)

    def dump(self) -> dict[str, Any]:
        """Return the document as JSON has it, every default written out; parses again to an equal one."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
