# SPDX-License-Identifier: LGPL-2.1-or-later
"""Traffic of several hosts and programs, the same in every run: what a log server gets, and what nobody wants to get."""

import datetime
import json
import random

HOSTS = 12
BEGIN = datetime.datetime(2024, 2, 28, 23, 50, 0)
SECONDS_BETWEEN = 7
USERS = ["alice", "bob", "root", "zoë", "o'neil", "svc-backup"]
PATHS = ["/", "/index.html", "/api/v1/items?id=%d", "/healthz", "/images/logo%%20%d.png", "/suche?q=b%%C3%%BCcher"]
AGENTS = ["curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101", "-", 'odd \\"quoted\\" agent']
WORDS = ["disk", "queue", "überlauf", "日本語", "café", "timeout", "retry", "naïve", "🙂", "password=s3cret", "token=abc-123"]
OFFSETS = ["Z", "+02:00", "-05:30", "+00:00"]


class Generator:
    """
    `messages(count)` returns (header fields, text) of `count` messages; syslog() and bsd() put them in bytes to send.

    Every message ends in its number, so that no two are alike.
    """

    def __init__(self, seed=1):
        self._random = random.Random(seed)
        self._programs = [
            ("sshd", self._sshd), ("httpd", self._httpd), ("kernel", self._firewall), ("app", self._json),
            ("billing", self._billing), ("java", self._java), ("cron", self._cron), ("long", self._long),
            ("broken", self._broken), ("nested", self._nested),
        ]

    def messages(self, count):
        return [self._message(number) for number in range(count)]

    def _message(self, number):
        program, text = self._random.choices(self._programs, weights=[6, 6, 5, 5, 4, 2, 3, 1, 3, 3])[0]
        return {
            "priority": self._random.randrange(24) * 8 + self._random.randrange(8),
            "time": BEGIN + datetime.timedelta(seconds=number * SECONDS_BETWEEN, microseconds=number * 1013 % 1000000),
            "offset": self._random.choice(OFFSETS),
            "host": f"host{self._random.randrange(HOSTS):02}",
            "program": program,
            "pid": self._random.choice(["", str(self._random.randrange(1, 9))]),
            "sdata": self._sdata(number),
            "text": text(number) + b" n=%d" % number,
        }

    def _sdata(self, number):
        return self._random.choice([
            "-",
            "-",
            f'[origin@18372.4 site="b{number % 7}" ip="10.0.0.{number % 250}"]',
            f'[a@1 x="1"][b@2 y="quote \\" bracket \\] back \\\\ {number}"]',
            f'[meta sysUpTime="{number}" language="de"]',
        ])

    # texts

    def _sshd(self, number):
        user, address = self._random.choice(USERS), self._address()
        return self._random.choice([
            f"Failed password for invalid user {user} from {address} port {1024 + number % 60000} ssh2",
            f"Accepted publickey for {user} from {address} port {1024 + number % 60000} ssh2: RSA SHA256:{number:x}",
            f"pam_unix(sshd:session): session opened for user {user} by (uid=0)",
            f"pam_unix(sshd:session): session closed for user {user}",
        ]).encode()

    def _httpd(self, number):
        path = self._random.choice(PATHS)
        path = path % number if "%d" in path else path.replace("%%", "%")
        when = (BEGIN + datetime.timedelta(seconds=number)).strftime("%d/%b/%Y:%H:%M:%S +0100")
        return (f'{self._address()} - {self._random.choice(USERS)} [{when}] "{self._random.choice(["GET", "POST"])} {path} '
                f'HTTP/1.1" {self._random.choice([200, 200, 304, 404, 500])} {number % 5000} "-" '
                f'"{self._random.choice(AGENTS)}"').encode()

    def _firewall(self, number):
        return (f"IN=eth0 OUT= MAC=00:16:3e:{number % 256:02x} SRC={self._address()} DST=10.0.0.1 LEN={40 + number % 1400} "
                f"PROTO={self._random.choice(['TCP', 'UDP'])} SPT={number % 65536} DPT={self._random.choice([22, 80, 443])} "
                f'NOTE="two words, {self._words(2)}" SYN').encode()

    def _json(self, number):
        return json.dumps(
            {
                "user": self._random.choice(USERS),
                "action": self._random.choice(["login", "logout", "buy"]),
                "amount": number / 8,
                "ok": number % 3 == 0,
                "nothing": None,
                "items": [number, str(number), self._words(1)],
                "deep": {"er": {"est": self._words(3)}},
                "": "empty name",
            },
            ensure_ascii=bool(number % 2),
        ).encode()

    def _billing(self, number):
        card = self._random.choice(["4111111111111111", "5500-0000-0000-0004", "3400 000000 00009", "no card"])
        return f'{number},"{self._words(2)}, Ltd.",{card},{number * 17 % 10000}.{number % 100:02},,"say ""hi"""'.encode()

    def _java(self, number):
        frames = "".join(f"\n\tat org.example.Class{number % 5}.method{line}(File.java:{line})"
                         for line in range(self._random.randrange(1, 6)))
        return f"java.lang.IllegalStateException: {self._words(2)}{frames}\nCaused by: nothing".encode()

    def _cron(self, number):
        return f"({self._random.choice(USERS)}) CMD (test -x /usr/sbin/job{number % 9} && {self._words(3)})".encode()

    def _long(self, number):
        return (self._words(4) + " ").encode() * self._random.randrange(20, 1200)

    def _broken(self, number):
        return self._random.choice([
            b'{"unfinished": "json',
            b"not \xff\xfe UTF-8 \xc3",
            b'key="no end, other=1',
            b"control \x01\x02\t\x7f characters",
            b"   blanks   ",
            b'"",,,"',
            b"%s %d ${MESSAGE} $(echo x) `dir` \\n \\",
            b"{}",
        ])

    def _nested(self, number):
        return f"outer a={number % 4} b='{self._words(1)}' <<{json.dumps({'inner': number % 11})}>> tags=red,blue".encode()

    def _words(self, count):
        return " ".join(self._random.choices(WORDS, k=count))

    def _address(self):
        return f"{self._random.choice(['10.0', '192.168', '172.16', '203.0'])}.{self._random.randrange(4)}.{self._random.randrange(250)}"


def syslog(messages):
    """RFC 5424, with the length in front: lines may be within."""
    return b"".join(b"%d %s" % (len(message), message) for message in map(_rfc5424, messages))


def bsd(messages):
    """RFC 3164, a message a line."""
    return b"".join(_rfc3164(message) + b"\n" for message in messages)


def _rfc5424(message):
    header = (f"<{message['priority']}>1 {message['time'].isoformat(timespec='milliseconds')}{message['offset']} "
              f"{message['host']} {message['program']} {message['pid'] or '-'} ID{message['priority'] % 5} {message['sdata']} ")
    return header.encode() + message["text"]


def _rfc3164(message):
    pid = f"[{message['pid']}]" if message["pid"] else ""
    header = f"<{message['priority']}>{message['time'].strftime('%b %e %H:%M:%S')} {message['host']} {message['program']}{pid}: "
    return header.encode() + message["text"].replace(b"\n", b" ")
