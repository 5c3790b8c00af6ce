from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_UNLISTED: _ClassVar[TaskState]
    TASK_STATE_SUBMITTED: _ClassVar[TaskState]
    TASK_STATE_RUNNING: _ClassVar[TaskState]
    TASK_STATE_DONE: _ClassVar[TaskState]
    TASK_STATE_PARTIAL: _ClassVar[TaskState]
    TASK_STATE_CANCELLED: _ClassVar[TaskState]

class NodePhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_PHASE_UNSPECIFIED: _ClassVar[NodePhase]
    NODE_PHASE_WAITING: _ClassVar[NodePhase]
    NODE_PHASE_FETCHING: _ClassVar[NodePhase]
    NODE_PHASE_PLACED: _ClassVar[NodePhase]
    NODE_PHASE_FAILED: _ClassVar[NodePhase]

class NodeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATE_UNSPECIFIED: _ClassVar[NodeState]
    NODE_STATE_JOINING: _ClassVar[NodeState]
    NODE_STATE_READY: _ClassVar[NodeState]
    NODE_STATE_DRAINING: _ClassVar[NodeState]
    NODE_STATE_LOST: _ClassVar[NodeState]
    NODE_STATE_GONE: _ClassVar[NodeState]
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_UNLISTED: TaskState
TASK_STATE_SUBMITTED: TaskState
TASK_STATE_RUNNING: TaskState
TASK_STATE_DONE: TaskState
TASK_STATE_PARTIAL: TaskState
TASK_STATE_CANCELLED: TaskState
NODE_PHASE_UNSPECIFIED: NodePhase
NODE_PHASE_WAITING: NodePhase
NODE_PHASE_FETCHING: NodePhase
NODE_PHASE_PLACED: NodePhase
NODE_PHASE_FAILED: NodePhase
NODE_STATE_UNSPECIFIED: NodeState
NODE_STATE_JOINING: NodeState
NODE_STATE_READY: NodeState
NODE_STATE_DRAINING: NodeState
NODE_STATE_LOST: NodeState
NODE_STATE_GONE: NodeState

class DownloadRequest(_message.Message):
    __slots__ = ("seq", "hello", "join", "progress", "held", "failed", "wrong", "report", "bye", "busy")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    WRONG_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    seq: int
    hello: Hello
    join: Join
    progress: Progress
    held: Held
    failed: Failed
    wrong: Wrong
    report: TaskReport
    bye: Bye
    busy: Busy
    def __init__(self, seq: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., join: _Optional[_Union[Join, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., held: _Optional[_Union[Held, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., wrong: _Optional[_Union[Wrong, _Mapping]] = ..., report: _Optional[_Union[TaskReport, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ..., busy: _Optional[_Union[Busy, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("node", "epoch", "address", "zone", "shares_restricted", "takes_tasks", "leases", "cache")
    NODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    SHARES_RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    TAKES_TASKS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    node: str
    epoch: int
    address: str
    zone: str
    shares_restricted: bool
    takes_tasks: bool
    leases: _containers.RepeatedScalarFieldContainer[str]
    cache: str
    def __init__(self, node: _Optional[str] = ..., epoch: _Optional[int] = ..., address: _Optional[str] = ..., zone: _Optional[str] = ..., shares_restricted: bool = ..., takes_tasks: bool = ..., leases: _Optional[_Iterable[str]] = ..., cache: _Optional[str] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: str
    def __init__(self, task: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("blobs", "leases", "is_starving")
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    IS_STARVING_FIELD_NUMBER: _ClassVar[int]
    blobs: _containers.RepeatedCompositeFieldContainer[BlobProgress]
    leases: _containers.RepeatedCompositeFieldContainer[LeaseProgress]
    is_starving: bool
    def __init__(self, blobs: _Optional[_Iterable[_Union[BlobProgress, _Mapping]]] = ..., leases: _Optional[_Iterable[_Union[LeaseProgress, _Mapping]]] = ..., is_starving: bool = ...) -> None: ...

class BlobProgress(_message.Message):
    __slots__ = ("digest", "checked", "is_whole")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    IS_WHOLE_FIELD_NUMBER: _ClassVar[int]
    digest: str
    checked: bytes
    is_whole: bool
    def __init__(self, digest: _Optional[str] = ..., checked: _Optional[bytes] = ..., is_whole: bool = ...) -> None: ...

class LeaseProgress(_message.Message):
    __slots__ = ("lease", "done", "rate")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    done: int
    rate: int
    def __init__(self, lease: _Optional[str] = ..., done: _Optional[int] = ..., rate: _Optional[int] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("lease", "code")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    code: str
    def __init__(self, lease: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class Wrong(_message.Message):
    __slots__ = ("digest", "piece", "sender")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    digest: str
    piece: int
    sender: str
    def __init__(self, digest: _Optional[str] = ..., piece: _Optional[int] = ..., sender: _Optional[str] = ...) -> None: ...

class TaskReport(_message.Message):
    __slots__ = ("task", "phase", "code", "from_origin", "from_peers", "senders", "done")
    class SendersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TASK_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    FROM_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FROM_PEERS_FIELD_NUMBER: _ClassVar[int]
    SENDERS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    task: str
    phase: NodePhase
    code: str
    from_origin: int
    from_peers: int
    senders: _containers.ScalarMap[str, int]
    done: int
    def __init__(self, task: _Optional[str] = ..., phase: _Optional[_Union[NodePhase, str]] = ..., code: _Optional[str] = ..., from_origin: _Optional[int] = ..., from_peers: _Optional[int] = ..., senders: _Optional[_Mapping[str, int]] = ..., done: _Optional[int] = ...) -> None: ...

class Busy(_message.Message):
    __slots__ = ("host", "seconds")
    HOST_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    host: str
    seconds: int
    def __init__(self, host: _Optional[str] = ..., seconds: _Optional[int] = ...) -> None: ...

class Bye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DownloadStatus(_message.Message):
    __slots__ = ("seen", "welcome", "task", "assign", "revoke", "peers", "quarantine", "drain", "cancelled")
    SEEN_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    seen: int
    welcome: Welcome
    task: TaskPart
    assign: Assign
    revoke: Revoke
    peers: Peers
    quarantine: Quarantine
    drain: DrainOrder
    cancelled: TaskCancelled
    def __init__(self, seen: _Optional[int] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., task: _Optional[_Union[TaskPart, _Mapping]] = ..., assign: _Optional[_Union[Assign, _Mapping]] = ..., revoke: _Optional[_Union[Revoke, _Mapping]] = ..., peers: _Optional[_Union[Peers, _Mapping]] = ..., quarantine: _Optional[_Union[Quarantine, _Mapping]] = ..., drain: _Optional[_Union[DrainOrder, _Mapping]] = ..., cancelled: _Optional[_Union[TaskCancelled, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("scheduler", "beat")
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    scheduler: str
    beat: int
    def __init__(self, scheduler: _Optional[str] = ..., beat: _Optional[int] = ...) -> None: ...

class TaskPart(_message.Message):
    __slots__ = ("task", "priority", "lock", "last", "is_restricted", "seal")
    TASK_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    IS_RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    task: str
    priority: int
    lock: bytes
    last: bool
    is_restricted: bool
    seal: str
    def __init__(self, task: _Optional[str] = ..., priority: _Optional[int] = ..., lock: _Optional[bytes] = ..., last: bool = ..., is_restricted: bool = ..., seal: _Optional[str] = ...) -> None: ...

class TaskCancelled(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: str
    def __init__(self, task: _Optional[str] = ...) -> None: ...

class Assign(_message.Message):
    __slots__ = ("lease", "digest", "unit", "start", "end", "bundle")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    digest: str
    unit: int
    start: int
    end: int
    bundle: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lease: _Optional[str] = ..., digest: _Optional[str] = ..., unit: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., bundle: _Optional[_Iterable[str]] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class Peers(_message.Message):
    __slots__ = ("peers",)
    PEERS_FIELD_NUMBER: _ClassVar[int]
    peers: _containers.RepeatedCompositeFieldContainer[Peer]
    def __init__(self, peers: _Optional[_Iterable[_Union[Peer, _Mapping]]] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("node", "address", "zone")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    node: str
    address: str
    zone: str
    def __init__(self, node: _Optional[str] = ..., address: _Optional[str] = ..., zone: _Optional[str] = ...) -> None: ...

class Quarantine(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class DrainOrder(_message.Message):
    __slots__ = ("may_leave",)
    MAY_LEAVE_FIELD_NUMBER: _ClassVar[int]
    may_leave: bool
    def __init__(self, may_leave: bool = ...) -> None: ...

class SubmitTaskRequest(_message.Message):
    __slots__ = ("key", "name", "selector", "priority", "lock", "node", "is_restricted", "seal")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    IS_RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    selector: str
    priority: int
    lock: bytes
    node: str
    is_restricted: bool
    seal: str
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., selector: _Optional[str] = ..., priority: _Optional[int] = ..., lock: _Optional[bytes] = ..., node: _Optional[str] = ..., is_restricted: bool = ..., seal: _Optional[str] = ...) -> None: ...

class TaskRef(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("id", "name", "state", "lock_is_yours", "size", "egress", "nodes", "is_restricted", "has_more")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LOCK_IS_YOURS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    EGRESS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    IS_RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    state: TaskState
    lock_is_yours: bool
    size: int
    egress: int
    nodes: _containers.RepeatedCompositeFieldContainer[TaskNode]
    is_restricted: bool
    has_more: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[TaskState, str]] = ..., lock_is_yours: bool = ..., size: _Optional[int] = ..., egress: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[TaskNode, _Mapping]]] = ..., is_restricted: bool = ..., has_more: bool = ...) -> None: ...

class TaskNode(_message.Message):
    __slots__ = ("node", "phase", "code", "done", "from_origin", "from_peers", "senders")
    class SendersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NODE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FROM_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FROM_PEERS_FIELD_NUMBER: _ClassVar[int]
    SENDERS_FIELD_NUMBER: _ClassVar[int]
    node: str
    phase: NodePhase
    code: str
    done: int
    from_origin: int
    from_peers: int
    senders: _containers.ScalarMap[str, int]
    def __init__(self, node: _Optional[str] = ..., phase: _Optional[_Union[NodePhase, str]] = ..., code: _Optional[str] = ..., done: _Optional[int] = ..., from_origin: _Optional[int] = ..., from_peers: _Optional[int] = ..., senders: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    def __init__(self, tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ...) -> None: ...

class NodeRef(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "epoch", "seq", "address", "zone", "state", "silent", "leases", "rate", "held", "site")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    id: str
    epoch: int
    seq: int
    address: str
    zone: str
    state: NodeState
    silent: float
    leases: int
    rate: int
    held: int
    site: str
    def __init__(self, id: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., address: _Optional[str] = ..., zone: _Optional[str] = ..., state: _Optional[_Union[NodeState, str]] = ..., silent: _Optional[float] = ..., leases: _Optional[int] = ..., rate: _Optional[int] = ..., held: _Optional[int] = ..., site: _Optional[str] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    def __init__(self, after: _Optional[str] = ...) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes", "has_more")
    NODES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    has_more: bool
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., has_more: bool = ...) -> None: ...

class StateDelta(_message.Message):
    __slots__ = ("site", "seen", "node", "beat")
    SITE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    site: SiteHello
    seen: SeenNodes
    node: NodeDelta
    beat: SiteBeat
    def __init__(self, site: _Optional[_Union[SiteHello, _Mapping]] = ..., seen: _Optional[_Union[SeenNodes, _Mapping]] = ..., node: _Optional[_Union[NodeDelta, _Mapping]] = ..., beat: _Optional[_Union[SiteBeat, _Mapping]] = ...) -> None: ...

class SiteHello(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: str
    def __init__(self, site: _Optional[str] = ...) -> None: ...

class SeenNodes(_message.Message):
    __slots__ = ("nodes", "last")
    NODES_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[SeenNode]
    last: bool
    def __init__(self, nodes: _Optional[_Iterable[_Union[SeenNode, _Mapping]]] = ..., last: bool = ...) -> None: ...

class SeenNode(_message.Message):
    __slots__ = ("node", "epoch", "number")
    NODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    node: str
    epoch: int
    number: int
    def __init__(self, node: _Optional[str] = ..., epoch: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class NodeDelta(_message.Message):
    __slots__ = ("node", "epoch", "number", "since", "address", "zone", "shares_restricted", "brings", "goods")
    NODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    SHARES_RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    BRINGS_FIELD_NUMBER: _ClassVar[int]
    GOODS_FIELD_NUMBER: _ClassVar[int]
    node: str
    epoch: int
    number: int
    since: int
    address: str
    zone: str
    shares_restricted: bool
    brings: _containers.RepeatedCompositeFieldContainer[BroughtUnit]
    goods: _containers.RepeatedCompositeFieldContainer[HeldGood]
    def __init__(self, node: _Optional[str] = ..., epoch: _Optional[int] = ..., number: _Optional[int] = ..., since: _Optional[int] = ..., address: _Optional[str] = ..., zone: _Optional[str] = ..., shares_restricted: bool = ..., brings: _Optional[_Iterable[_Union[BroughtUnit, _Mapping]]] = ..., goods: _Optional[_Iterable[_Union[HeldGood, _Mapping]]] = ...) -> None: ...

class BroughtUnit(_message.Message):
    __slots__ = ("digest", "unit", "start", "end")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    digest: str
    unit: int
    start: int
    end: int
    def __init__(self, digest: _Optional[str] = ..., unit: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class HeldGood(_message.Message):
    __slots__ = ("good", "number", "count", "has", "is_whole")
    GOOD_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    HAS_FIELD_NUMBER: _ClassVar[int]
    IS_WHOLE_FIELD_NUMBER: _ClassVar[int]
    good: str
    number: int
    count: int
    has: bytes
    is_whole: bool
    def __init__(self, good: _Optional[str] = ..., number: _Optional[int] = ..., count: _Optional[int] = ..., has: _Optional[bytes] = ..., is_whole: bool = ...) -> None: ...

class SiteBeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
