# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a trial is made of, drawn from its seed: load, configurations, and the scenario that attacks them."""

import dataclasses
import random

import outputs
from outputs import DISK, MEMORY, RELIABLE_DISK
from scenarios import SCENARIOS
from traffic import LARGEST_DATAGRAM, LARGEST_MESSAGE, OUTPUT_TEMPLATE, OUTPUT_TEMPLATE_OF_BRIEF, TO_THE_LIMIT

MESSAGES = (2_000, 10_000, 40_000)
MAX_BYTES = 60_000_000
MAX_BURN_SECONDS = 3
MAX_WORK_SECONDS = 8

KEYS = (1, 2, 5, 100, 1000, 100_000, 10_000_000)
HOT_PERCENT = (0, 0, 0, 50, 99)
BRIEF = "brief"
FILLINGS = {
    "tiny": (0, 1, 5),
    "small": (0, 50, 100, 200),
    "mixed": (0, 10, 100, 100, 100, 1000, 8000),
    "up to 64 KiB": (0, 10, 1000, 10_000, 65_000, TO_THE_LIMIT),
    BRIEF: (0,),
}
BURNS = ((0,), (0, 0, 0, 5), (10,), (50,), (0,) * 200 + (3000,))     # processor microseconds a message
WORKS = ((0,), (0,), (0,), (0,) * 50 + (1000,), (0,) * 500 + (50_000,), (100,))    # idle microseconds
CONNECTIONS = (1, 3, 50)
WINDOWS = (1_000, 20_000, 100_000)
LEAST_WINDOW_OF_A_CONNECTION = 100      # the host's, however many share log-iw-size()
WORKERS = (1, 2, 3, 4, 8, 40)
RESEQUENCED = 0.35      # of all trials
ATTACK_SECONDS = 10     # then what is left may come in peace

# What the host allocates: names and values are stored in twice the space of the text, and each branch may hold a clone.
PAYLOAD_FACTOR = 4
BYTES_IN_MEMORY = 3000

# A message of no cost must find no filter: then the path is one that is not worth a hand-over.
COSTS = """
filter f_burn { "$(test-burn $PID)" eq "" };
rewrite r_work { set("$(test-work $MSGID)" value(".test.work")); };
"""


@dataclasses.dataclass
class Input:
    kind: str           # tcp, udp, unix-stream, unix-dgram, file
    senders: list       # names of their streams
    window: int

    def max_connections(self):
        return len(self.senders) + 10

    def most_unacknowledged(self, reloads):
        """Messages; a file is read anew from its bookmark by each reload, while the old messages are still there."""
        if self.kind in ("tcp", "unix-stream"):
            return len(self.senders) * max(LEAST_WINDOW_OF_A_CONNECTION, self.window // self.max_connections())
        return self.window * (1 + reloads if self.kind == "file" else 1)


@dataclasses.dataclass
class Element:
    workers: int
    key: str            # "": none
    options: str

    def __str__(self):
        key = f'worker-partition-key("{self.key}") ' if self.key else ""
        return f"parallelize(workers({self.workers}) {key}{self.options});"


@dataclasses.dataclass
class Draw:
    """All of it follows from the name, the seed and the flags."""

    name: str
    seed: int
    resequence: bool
    attack_seconds: float
    scenario: object
    inputs: list
    streams: dict       # {name: arguments of traffic.Stream}
    keys: int
    hot_percent: int
    filling: str
    burns: tuple
    works: tuple
    elements: list      # the first is that of the first configuration
    keyed: bool
    empty_key_ordered: bool
    output: str         # file or the behaviour of a server
    queue: str
    copy: str           # "": no second path; "plain" or "parallel"

    def missing(self):
        """Why it cannot be done here, or None."""
        return self.scenario.missing()

    def random(self):
        """For what happens at run time."""
        return random.Random(f"{self.seed} at run time")

    def describe(self):
        inputs = ", ".join(f"{len(part.senders)} {part.kind}" for part in self.inputs)
        queue = {MEMORY: "memory queue", DISK: "disk-buffer", RELIABLE_DISK: "reliable disk-buffer"}[self.queue]
        messages = sum(count for _, count in self.streams.values())
        return (f"{self.name}: {messages} messages, {inputs}; {self.keys} keys, {self.hot_percent}% hot, {self.filling}; "
                f"burn {sum(self.burns) / len(self.burns):.0f} us, work {sum(self.works) / len(self.works):.0f} us; "
                f"{self.elements[0]}{' resequence();' if self.resequence else ''} to {self.output}, {queue}"
                f"{', copy ' + self.copy if self.copy else ''}")

    def most_unacknowledged(self, reloads):
        """Messages that the sources may have read, and the destinations not acknowledged."""
        return sum(part.most_unacknowledged(reloads) for part in self.inputs)

    def bytes_in_memory(self):
        """Of a message, on average."""
        return BYTES_IN_MEMORY + PAYLOAD_FACTOR * _mean_size(self.filling)

    def order(self, off):
        """What the daemon's output keeps."""
        if off or self.resequence:
            return "total"
        return "by key" if self.keyed else "none"

    def configuration(self, ports, elements, off=False):
        """`elements`: one after the other in the path; none: without parallelize()."""
        source = "\n".join(self._source(index, ports[index]) for index in range(len(self.inputs)))
        sources = " ".join(f"source(s_{index});" for index in range(len(self.inputs)))
        text = "options { stats-level(4); log-msg-size(65536); time-reopen(1); };\n" + COSTS + source + self._destination()
        text += f"log {{\n    {sources}\n    {self._path([] if off else elements)}\n    flags(flow-control);\n}};\n"
        if self.copy:
            path = " ".join(self._closed(self.elements[:1], self._costs())) if self.copy == "parallel" and not off else ""
            text += f"log {{ {sources} {path} destination(d_copy); flags(flow-control); }};\n"
        return text

    def _path(self, elements):
        return "\n    ".join([*self._closed(elements, self._costs()), "destination(d_out);"])

    def _costs(self):
        costs = []
        if any(self.burns):
            costs.append("filter(f_burn);")
        if any(self.works):
            costs.append('if ("$MSGID" ne "0") { rewrite(r_work); };')
        return costs

    def _closed(self, elements, costs):
        """What costs comes behind the first element, and before any resequence(), each of which belongs to one element."""
        return [*map(str, elements[:1]), *costs, *map(str, elements[1:]), *(["resequence();"] * len(elements) * self.resequence)]

    def _source(self, index, port):
        part = self.inputs[index]
        window = f"log-iw-size({part.window})"
        connections = f"{window} max-connections({part.max_connections()})"
        flags = "" if self.filling == BRIEF else "flags(syslog-protocol)"
        text = {
            "tcp": f'network(ip("127.0.0.1") port({port}) transport("tcp") {connections} {flags});',
            "udp": f'network(ip("127.0.0.1") port({port}) transport("udp") so-rcvbuf(1000000) {window} {flags});',
            "unix-stream": f'unix-stream("`dir`/{index}.sock" {connections} {flags});',
            "unix-dgram": f'unix-dgram("`dir`/{index}.sock" {window} {flags});',
            "file": f'file("`dir`/{index}.in" follow-freq(0.1) {window} {flags});',
        }[part.kind]
        return f"source s_{index} {{ {text} }};\n"

    def _destination(self):
        template = OUTPUT_TEMPLATE_OF_BRIEF if self.filling == BRIEF else OUTPUT_TEMPLATE
        common = f'template("{template}") log-fifo-size(2000000)'
        if self.output in outputs.SERVERS:
            out = f'network("127.0.0.1" port(`port2`) transport("tcp") so-sndbuf(65536) {common} {self.queue});'
        else:
            out = f'file("`dir`/{self.scenario.output_folder}out" {common});'
        return f'destination d_out {{ {out} }};\ndestination d_copy {{ file("`dir`/copy" {common}); }};\n'


def draw(name, seed, resequence=False, attack_seconds=ATTACK_SECONDS):
    """The same arguments give the same trial; `resequence`: in any case."""
    dice = random.Random(seed)
    scenario = SCENARIOS[name]()

    def choose(what, usual):
        return dice.choice(scenario.narrowed.get(what, usual))

    resequence |= dice.random() < RESEQUENCED
    keyed = dice.random() < 0.85
    empty_key_ordered = dice.random() < 0.7
    filling = choose("filling", tuple(FILLINGS))
    burns = choose("burns", BURNS)
    works = choose("works", WORKS) if filling != BRIEF else (0,)
    total = _affordable(choose("messages", MESSAGES), filling, burns, works)
    inputs, streams = _draw_inputs(dice, choose, scenario, total)
    output = dice.choice(scenario.outputs)
    copy = choose("copy", ("", "", "plain", "parallel"))
    return Draw(
        name=name, seed=seed, resequence=resequence, attack_seconds=attack_seconds, scenario=scenario, inputs=inputs,
        streams=streams, keys=choose("keys", KEYS), hot_percent=dice.choice(HOT_PERCENT), filling=filling, burns=burns,
        works=works,
        elements=[_draw_element(dice, choose, keyed, empty_key_ordered) for _ in range(5)],
        keyed=keyed, empty_key_ordered=empty_key_ordered, output=output,
        queue=choose("queue", _queues(scenario, output, copy)), copy=copy,
    )


def _queues(scenario, output, copy):
    if output not in outputs.SERVERS:
        return [MEMORY]
    if scenario.survives == "kill":
        return [MEMORY, RELIABLE_DISK]
    # The host's bookmark of a file passes what one memory queue drops at a stop, if another destination acknowledges
    # a later message after that; in the order of the source it cannot, but it can out of order.
    if scenario.survives == "stop" and copy:
        return [DISK, RELIABLE_DISK]
    return [MEMORY, DISK, RELIABLE_DISK]


def stream_arguments(drawn, name):
    """For traffic.Stream()."""
    seed, count = drawn.streams[name]
    udp = any(part.kind == "udp" and name in part.senders for part in drawn.inputs)
    return dict(name=name, seed=seed, count=count, keys=drawn.keys, hot_percent=drawn.hot_percent,
                sizes=FILLINGS[drawn.filling], burns=drawn.burns, works=drawn.works,
                largest=LARGEST_DATAGRAM - 1 if udp else LARGEST_MESSAGE, brief=drawn.filling == BRIEF)


def _mean_size(filling):
    sizes = [LARGEST_MESSAGE if size == TO_THE_LIMIT else size for size in FILLINGS[filling]]
    return sum(sizes) / len(sizes)


def _affordable(messages, filling, burns, works):
    for limit, cost in ((MAX_BYTES, _mean_size(filling)),
                        (MAX_BURN_SECONDS * 1e6, sum(burns) / len(burns)),
                        (MAX_WORK_SECONDS * 1e6, sum(works) / len(works))):
        if cost:
            messages = min(messages, int(limit / cost))
    return messages


def _draw_inputs(dice, choose, scenario, total):
    kinds = dice.sample(scenario.inputs, k=min(len(scenario.inputs), dice.choice((1, 1, 2, 3))))
    inputs, streams = [], {}
    for kind in kinds:
        senders = []
        for _ in range(choose("connections", CONNECTIONS) if kind in ("tcp", "unix-stream") else 1):
            name = f"s{len(streams)}"
            streams[name] = (dice.randrange(10**9), 0)
            senders.append(name)
        inputs.append(Input(kind, senders, choose("window", WINDOWS)))
    share = max(1, total // len(streams))
    return inputs, {name: (seed, share) for name, (seed, _) in streams.items()}


def _draw_element(dice, choose, keyed, empty_key_ordered):
    options = "" if empty_key_ordered else "empty-key(round-robin) "
    options += dice.choice(("", "", f"prefetch({dice.choice((1, 50, 300))}) "))
    options += dice.choice(("", "", f"batch-size({dice.choice((1, 7, 1000))}) "))
    options += dice.choice(("", "", f"log-fetch-limit({dice.choice((1, 10, 100_000))}) "))
    key = dice.choice(("$PROGRAM", "$PROGRAM", "$PROGRAM", "$HOST", "$HOST/$PROGRAM", "same")) if keyed else ""
    return Element(choose("workers", WORKERS), key, options.strip())
