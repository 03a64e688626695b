#!/usr/bin/env python3
"""A scripted model server, on loopback, for testing real coding-agent CLIs.

It speaks the wire formats of four model vendors and answers from a script, so
that the real `codex`, `claude`, `opencode` and `gemini` programs run a whole
task (tool calls, file changes, final message, or a chosen failure) offline and
always the same way.  Python 3.11 standard library only.

  API        path (any prefix before it is allowed)             used by
  responses  POST .../responses                                 codex
  chat       POST .../chat/completions                          opencode
  anthropic  POST .../messages, .../messages/count_tokens       claude
  gemini     POST .../models/M:generateContent,
             :streamGenerateContent, :countTokens               gemini
  cloud      .../wham/... and .../api/codex/...  (see cloud.py) codex cloud

USE
  server.py --script S.toml [--port 0] [--port-file F] [--log F.jsonl]
            [--cloud C.toml] [--quiet] [--with-parent]
            [--raise-loopback]
  The port is printed as `READY http://127.0.0.1:PORT` and written to
  --port-file (whole or not at all).  SIGTERM and SIGINT end the server, 0;
  with --with-parent it also ends when the process that started it does, and
  with --raise-loopback it first raises `lo` of a new network namespace.

SCRIPT (TOML or JSON)
  [server]                    all optional
    model        = "scripted"         name that GET .../models gives
    require_key  = "fake-key"         any other key is answered 401, in the
                                      API's own error shape
    chunk        = 24                 characters in one text delta
    delta_delay  = 0.0                seconds between two events
    usage        = {input=1000, cached=200, output=50, reasoning=10}
    log_bodies   = true               whole request bodies in the log
    max_requests = 500                for one session and scenario; past it every
                                      answer is a 400 (a runaway CLI must stop)
    aux          = "Scripted title"   answer to side calls (titles, routing)

  [[turns]] ...               the default scenario, or
  [[scenarios.NAME.turns]] ... one list of turns for each name

  One turn is one model reply.  Keys (all optional, any mix):
    say    = "text"           shown before the tool calls
    think  = "text"           a reasoning summary
    run    = "cmd" | [..]     run a shell command (one call for each)
    write  = {path=, content=} | [..]   write a file with the CLI's own tool
    edit   = {path=, old=, new=} | [..]
    read   = "path" | [..]
    patch  = "*** Begin Patch..."       (codex; elsewhere it is said, not run)
    tool   = {name=, args={}} | [..]    any tool, verbatim
    via    = "shell"          write/edit/read through the shell tool
    final  = "text"           the last message (a turn without a call ends
                              the run anyway)
    json   = {..}             the last message, as JSON (--output-schema)
    usage  = {..}             this turn's token counts
    delay  = 0.5              seconds before the answer begins
    gate   = "name"           wait until POST /__ctl/release/name
                              (gate_timeout = 120)
    fault  = {..} | [..]      see below
  Which turn is served is read out of the request itself (every tool call's id
  holds its turn's number; else the rounds since the last user prompt are
  counted), so resumes, retries, restarts and parallel sessions need no state.
  Past the last turn the answer is "Done.".

  Strings may hold: @{CWD} @{PROMPT} @{MODEL} @{N} (number of this session)
  @{ESC} @{BEL} @{ANSI} @{OSC} @{SECRET} @{HUGE:bytes} @{NL}

  fault = {kind=..., times=K}   the first K requests of that turn in a session
                                (no times: every one)
    http      status=500, retry_after=, body=     an HTTP error
    stall     seconds=30, at="headers|start|middle|end"
    slow      seconds=0.1                         between all events
    truncate  at=0.5, abrupt=true                 the stream ends early
    garbage   bytes=400, at="instead|middle"      random bytes
    badjson                                       one broken event
    reset                                         TCP reset, no answer
    error_event  message=, code=                  an in-stream error
    empty                                         200, and nothing

  [[route]]                   which scenario a request gets; first match wins
    scenario = "a"            and any of: prompt= (regular expression on the
                              latest user prompt), model= (same), api=,
                              session=N (the N-th session of this route)
  Above the routes: a URL prefix /s/NAME/..., a key that ends in ":NAME", and
  `[scenario:NAME]` in the latest prompt, in this order.

CONTROL (same port)
  GET  /__ctl/health     POST /__ctl/release/GATE   POST /__ctl/shutdown
  GET  /__ctl/stats      POST /__ctl/reset          GET  /__ctl/log
  POST /__ctl/script     (JSON body: a new script)
  stats: requests, by_api, sessions, in_flight, max_in_flight, waiting gates,
  unknown paths (what else the CLI asked for), clients_gone.

LOG  one JSON object a line: {"ev":"request",...} when a request is read and
  {"ev":"response",...} when it is over (status, turn, fault, ms,
  client_gone).  Keys are logged only when they begin with "fake" or "sk-fake";
  any other one is masked.

SAFETY  Binds 127.0.0.1 only and drops any other peer; opens no connection.
"""
import argparse
import base64
import fcntl
import gzip
import hashlib
import json
import os
import random
import re
import select
import signal
import socket
import struct
import sys
import threading
import time
import tomllib
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

VERSION = "1"
FAKE_SECRET = "AKIAFAKEFAKE0SCRIPT0 sk-fake-0123456789abcdef0123456789abcdef"
ANSI = "\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1Hhome \x1b[?25l\x1b[5mblink\x1b[0m"
OSC = "\x1b]0;owned title\x07\x1b]52;c;ZmFrZQ==\x07\x1b]8;;http://127.0.0.1:1/x\x1b\\link\x1b]8;;\x1b\\"
TURN_RE = re.compile(r"turn(\d+)x")
MAX_BODY = 64 << 20


# ------------------------------------------------------------------ script

class ScriptError(Exception):
    pass


TURN_KEYS = {"say", "think", "run", "write", "edit", "read", "patch", "tool", "via", "final",
             "json", "usage", "delay", "gate", "gate_timeout", "fault", "note"}
FAULTS = {"http", "stall", "slow", "truncate", "garbage", "badjson", "reset", "error_event", "empty"}


def as_list(v):
    if v is None:
        return []
    return v if isinstance(v, list) else [v]


class Script:
    """A checked script.  Raises ScriptError with the place of the mistake."""

    def __init__(self, data):
        if not isinstance(data, dict):
            raise ScriptError("the script is not a table")
        bad = set(data) - {"server", "turns", "scenarios", "route", "note", "cloud"}
        if bad:
            raise ScriptError(f"unknown key at the top: {sorted(bad)}")
        self.server = data.get("server") or {}
        self.scenarios = {k: list((v or {}).get("turns") or []) for k, v in (data.get("scenarios") or {}).items()}
        if "turns" in data or "default" not in self.scenarios:
            self.scenarios["default"] = list(data.get("turns") or [])
        self.routes = as_list(data.get("route"))
        for name, turns in self.scenarios.items():
            for i, t in enumerate(turns):
                bad = set(t) - TURN_KEYS
                if bad:
                    raise ScriptError(f"scenario {name}, turn {i}: unknown key {sorted(bad)}")
                for f in as_list(t.get("fault")):
                    if f.get("kind") not in FAULTS:
                        raise ScriptError(f"scenario {name}, turn {i}: unknown fault {f.get('kind')!r}")
        for r in self.routes:
            if r.get("scenario") not in self.scenarios:
                raise ScriptError(f"route to unknown scenario {r.get('scenario')!r}")

    @classmethod
    def load(cls, path):
        if path is None:
            return cls({})
        with open(path, "rb") as f:
            raw = f.read()
        try:
            data = json.loads(raw) if path.endswith(".json") else tomllib.loads(raw.decode())
        except (ValueError, tomllib.TOMLDecodeError) as e:
            raise ScriptError(f"{path}: {e}")
        return cls(data)

    def get(self, key, default):
        return self.server.get(key, default)


# ------------------------------------------------------------------- state

class State:
    def __init__(self, script, log_path=None, cloud=None):
        self.lock = threading.Lock()
        self.script = script
        self.cloud = cloud
        self.log_path = log_path
        self.log_file = open(log_path, "a", buffering=1, encoding="utf-8") if log_path else None
        self.gates = {}
        self.stopping = threading.Event()
        self.reset()

    def reset(self):
        with self.lock:
            self.n = 0
            self.counts = {}
            self.sessions = {}
            self.route_sessions = {}
            self.by_api = {}
            self.unknown = {}
            self.in_flight = 0
            self.max_in_flight = 0
            self.gone = 0
            self.waiting = {}
            for ev in self.gates.values():
                ev.set()
            self.gates = {}

    def log(self, **rec):
        if self.log_file is None:
            return
        line = json.dumps({"t": round(time.time(), 3), **rec}, ensure_ascii=False, default=str)
        with self.lock:
            self.log_file.write(line + "\n")

    def gate(self, name):
        with self.lock:
            return self.gates.setdefault(name, threading.Event())

    def session_number(self, key):
        with self.lock:
            return self.sessions.setdefault(key, len(self.sessions) + 1)

    def attempt(self, key):
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1
            return self.counts[key]

    def stats(self):
        with self.lock:
            return {"requests": self.n, "by_api": dict(self.by_api), "sessions": len(self.sessions),
                    "in_flight": self.in_flight, "max_in_flight": self.max_in_flight,
                    "waiting": dict(self.waiting), "unknown": dict(self.unknown), "clients_gone": self.gone,
                    "version": VERSION}


# ---------------------------------------------------- a request, understood

class Req:
    """What every dialect boils a request down to."""
    api = model = prompt = session = system = ""
    stream = False
    turn = 0
    tools = ()          # names offered
    tool_types = {}     # name -> "function" | "custom"
    tool_props = {}     # name -> property names of its parameters
    tool_ns = {}        # name -> namespace it was offered in
    code_mode = False   # codex: tools are called from JavaScript in `exec`
    schema = None       # JSON schema wanted for the answer
    aux = None          # a side call: why we think so
    prompts = ()
    cwd = None


CWD_RES = [re.compile(p) for p in (
    r"<cwd>([^<\n]+)</cwd>",
    r"[Ww]orking directory:?\s+(/[^\n<]+)",
    r"[Ww]orkspace (?:root folder|[Dd]irectory)[^/\n]*(/[^\n<]+)",
    r"working in the directory:?\s+(/[^\n<]+)",
    r"[Dd]irectories:?\**\s*\n\s*-?\s*(/[^\n<]+)",
    r"\"cwd\"\s*:\s*\"([^\"]+)\"")]


def find_cwd(text):
    for rx in CWD_RES:
        m = rx.search(text)
        if m:
            return m.group(1).strip().rstrip(".")
    return None


def text_of(content):
    """The text in a string, or in a list of parts of any vendor's shape."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    out = []
    for p in content if isinstance(content, list) else [content]:
        if isinstance(p, str):
            out.append(p)
        elif isinstance(p, dict):
            t = p.get("text")
            if isinstance(t, str) and p.get("type") in (None, "text", "input_text", "output_text"):
                out.append(t)
    return "\n".join(out)


SYNTHETIC = ("<environment_context>", "<user_instructions>", "# AGENTS.md instructions", "<system-reminder>",
             "<permissions instructions>", "<session_context>", "<INSTRUCTIONS>", "<turn_aborted>", "<skills_instructions>",
             "<apps_instructions>", "<plugins_instructions>", "<recommended_plugins>", "<collaboration_mode>", "(no content)",
             "[structured-output-enforce]")


def is_prompt(text):
    t = text.strip()
    return bool(t) and not t.startswith(SYNTHETIC)


def real_prompt(content):
    """The parts of a user message that the user wrote."""
    parts = content if isinstance(content, list) else [content]
    return "\n".join(t for t in (text_of([p] if isinstance(p, dict) else p) for p in parts) if is_prompt(t))


class Counter:
    """Turn number: ids with turnNNx since the last prompt, else rounds."""

    def __init__(self):
        self.prompts, self.rounds, self.ids, self.in_out = [], 0, set(), False

    def user(self, text):
        if is_prompt(text):
            self.prompts.append(text)
            self.rounds, self.ids, self.in_out = 0, set(), False

    def call(self, cid):
        self.in_out = False
        m = TURN_RE.search(str(cid or ""))
        if m:
            self.ids.add(int(m.group(1)))

    def output(self):
        if not self.in_out:
            self.rounds += 1
        self.in_out = True

    @property
    def turn(self):
        return max(self.ids) + 1 if self.ids else self.rounds


def json_example(schema, depth=0):
    """The smallest value we can think of that fits a JSON schema."""
    if not isinstance(schema, dict) or depth > 8:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for k in ("anyOf", "oneOf"):
        if schema.get(k):
            return json_example(schema[k][0], depth + 1)
    t = schema.get("type")
    t = (t[0] if isinstance(t, list) and t else t)
    t = str(t or ("object" if "properties" in schema else "string")).lower()
    if t == "object":
        props = schema.get("properties") or {}
        return {k: json_example(v, depth + 1) for k, v in props.items()}
    if t == "array":
        n = int(schema.get("minItems") or 0)
        return [json_example(schema.get("items") or {}, depth + 1) for _ in range(n)]
    return {"integer": 1, "number": 1, "boolean": True, "null": None}.get(t, "scripted")


def add_tool(req, name, kind, params):
    req.tools.append(name)
    req.tool_types[name] = kind
    req.tool_props[name] = set(((params or {}).get("properties") or {}))


def new_req(api):
    r = Req()
    r.api, r.tools, r.tool_types, r.tool_props, r.tool_ns, r.prompts = api, [], {}, {}, {}, []
    return r


def parse_responses(body, headers, _path):
    r = new_req("responses")
    r.model, r.stream = str(body.get("model", "")), bool(body.get("stream"))
    c = Counter()
    alltext = [text_of(body.get("instructions"))]
    items = body.get("input")
    if isinstance(items, str):
        items = [{"type": "message", "role": "user", "content": items}]
    for it in items or []:
        kind = it.get("type", "message")
        if kind == "message":
            t = text_of(it.get("content"))
            alltext.append(t)
            if it.get("role") == "user":
                c.user(real_prompt(it.get("content")))
        elif kind.endswith("_call"):
            c.call(it.get("call_id") or it.get("id"))
        elif kind.endswith("_output"):
            c.output()
    offered = list(body.get("tools") or [])
    for it in items or []:
        if it.get("type") == "additional_tools":        # newer models: the tools are an input item
            offered += it.get("tools") or []
    for t in offered:
        if t.get("type") in ("function", "custom"):
            add_tool(r, t.get("name", ""), t["type"], t.get("parameters"))
        elif t.get("type") == "namespace":
            for s in t.get("tools") or []:
                add_tool(r, s.get("name", ""), s.get("type", "function"), s.get("parameters"))
                r.tool_ns[s.get("name", "")] = t.get("name", "")
                if s.get("name") == "exec" and "exec_command" in str(s.get("description")):
                    r.code_mode = True
        else:
            add_tool(r, t.get("type", ""), t.get("type", ""), None)
    fmt = ((body.get("text") or {}).get("format")) or {}
    r.schema = fmt.get("schema")
    r.session = headers.get("session_id") or headers.get("session-id") or headers.get("conversation_id") \
        or str(body.get("prompt_cache_key") or "")
    return finish_parse(r, c, alltext)


def parse_chat(body, headers, _path):
    r = new_req("chat")
    r.model, r.stream = str(body.get("model", "")), bool(body.get("stream"))
    c = Counter()
    alltext = []
    for m in body.get("messages") or []:
        role, t = m.get("role"), text_of(m.get("content"))
        alltext.append(t)
        if role in ("system", "developer"):
            r.system += t
        elif role == "user":
            c.user(real_prompt(m.get("content")))
        elif role == "assistant":
            for tc in m.get("tool_calls") or []:
                c.call(tc.get("id"))
        elif role == "tool":
            c.output()
    for t in body.get("tools") or []:
        f = t.get("function") or {}
        add_tool(r, f.get("name", ""), "function", f.get("parameters"))
    rf = body.get("response_format") or {}
    r.schema = (rf.get("json_schema") or {}).get("schema") or ({} if rf.get("type") == "json_object" else None)
    r.session = headers.get("x-session-id") or headers.get("x-session-affinity") or headers.get("x-opencode-session") \
        or str(body.get("prompt_cache_key") or "")
    if "title generator" in r.system.lower() or "generate a title" in " ".join(alltext[-1:]).lower()[:400]:
        r.aux = "title"
    return finish_parse(r, c, alltext)


def parse_anthropic(body, headers, path):
    r = new_req("anthropic")
    r.model, r.stream = str(body.get("model", "")), bool(body.get("stream"))
    r.system = text_of(body.get("system"))
    c = Counter()
    alltext = [r.system]
    for m in body.get("messages") or []:
        content = m.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        if m.get("role") == "assistant":
            for p in parts:
                if p.get("type") == "tool_use":
                    c.call(p.get("id"))
            continue
        texts = [p.get("text", "") for p in parts if p.get("type") == "text"]
        alltext += texts
        if m.get("role") != "user":
            continue
        if any(p.get("type") == "tool_result" for p in parts):
            c.output()
        else:
            c.user(real_prompt(parts))
    for t in body.get("tools") or []:
        add_tool(r, t.get("name", ""), "function", t.get("input_schema"))
    fmt = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    r.schema = fmt.get("schema")
    meta = str((body.get("metadata") or {}).get("user_id") or "")
    m = re.search(r"session_?(?:id)?[\"_:\\ ]*([0-9a-f-]{36})", meta)
    r.session = headers.get("x-claude-code-session-id") or (m.group(1) if m else "")
    if body.get("max_tokens") == 1:
        r.aux = "probe"
    elif not r.tools and re.search(r"title|new topic|isNewTopic|summariz", r.system[-3000:], re.I) and "x-exam" not in r.system:
        r.aux = "title"
    if path.endswith("/count_tokens"):
        r.aux = "count"
    return finish_parse(r, c, alltext)


def parse_gemini(body, headers, path):
    r = new_req("gemini")
    m = re.search(r"/models/([^/:]+):(\w+)", path)
    r.model = m.group(1) if m else ""
    r.stream = bool(m and m.group(2) == "streamGenerateContent")
    r.system = text_of((body.get("systemInstruction") or {}).get("parts"))
    c = Counter()
    alltext = [r.system]
    for m2 in body.get("contents") or []:
        parts = m2.get("parts") or []
        t = text_of([p for p in parts if not p.get("thought")])
        alltext.append(t)
        if m2.get("role") == "model":
            for p in parts:
                if "functionCall" in p:
                    c.call((p["functionCall"] or {}).get("id"))
        elif any("functionResponse" in p for p in parts):
            for p in parts:
                if "functionResponse" in p:
                    c.call((p["functionResponse"] or {}).get("id"))
            c.output()
        else:
            c.user(real_prompt([p for p in parts if not p.get("thought")]))
    for t in body.get("tools") or []:
        for f in t.get("functionDeclarations") or []:
            add_tool(r, f.get("name", ""), "function", f.get("parametersJsonSchema") or f.get("parameters"))
    gc = body.get("generationConfig") or {}
    r.schema = gc.get("responseJsonSchema") or gc.get("responseSchema")
    if r.schema is None and gc.get("responseMimeType") == "application/json":
        r.schema = {}
    if r.schema is not None and not r.tools:
        r.aux = "json"
    if path.endswith(":countTokens"):
        r.aux = "count"
    r.session = headers.get("x-gemini-session-id") or ""
    return finish_parse(r, c, alltext)


def finish_parse(r, c, alltext):
    r.turn, r.prompts = c.turn, c.prompts
    r.prompt = (c.prompts[-1] if c.prompts else "").strip()
    if len(r.prompt) > 1 and r.prompt[0] == r.prompt[-1] == '"':      # opencode quotes its arguments
        r.prompt = r.prompt[1:-1]
    r.cwd = find_cwd("\n".join(alltext))
    if not r.session:
        seed = (r.cwd or "") + "\0" + (c.prompts[0] if c.prompts else "")
        r.session = "h" + hashlib.sha256(seed.encode()).hexdigest()[:12]
    return r


PARSERS = {"responses": parse_responses, "chat": parse_chat, "anthropic": parse_anthropic, "gemini": parse_gemini}


# ------------------------------------------------------- a turn, made a plan

def sh_quote(s):
    return "'" + s.replace("'", "'\\''") + "'"


def shell_write(path, content):
    b = base64.b64encode(content.encode()).decode()
    d = os.path.dirname(path)
    mk = f"mkdir -p {sh_quote(d)} && " if d else ""
    return f"{mk}printf %s {b} | base64 -d > {sh_quote(path)}"


def shell_edit(path, old, new):
    a, b = (base64.b64encode(x.encode()).decode() for x in (old, new))
    prog = ("import base64,sys;p=sys.argv[1];a,b=(base64.b64decode(x).decode() for x in sys.argv[2:4]);"
            "s=open(p).read();assert a in s;open(p,'w').write(s.replace(a,b,1))")
    return f"python3 -c {sh_quote(prog)} {sh_quote(path)} {a} {b}"


class Tools:
    """Turns `run`/`write`/... into calls of whatever tools were offered."""
    SHELLS = ("exec_command", "shell_command", "shell", "local_shell", "Bash", "bash", "run_shell_command")

    def __init__(self, req):
        self.r = req

    def absolute(self, path):
        if os.path.isabs(path) or not self.r.cwd:
            return path
        return os.path.join(self.r.cwd, path)

    def shell(self, cmd):
        if self.r.code_mode:
            return "exec", f"const r = await tools.exec_command({json.dumps({'cmd': cmd})});\ntext(r.output);\n"
        for name in self.SHELLS:
            if name not in self.r.tools:
                continue
            if name == "exec_command":
                return name, {"cmd": cmd}
            if name == "shell":
                return name, {"command": ["bash", "-lc", cmd]}
            if name in ("Bash", "bash", "run_shell_command"):
                return name, {"command": cmd, "description": "scripted step"}
            return name, {"command": cmd}
        return None

    def write(self, path, content):
        r = self.r
        full = self.absolute(path)
        if ("apply_patch" in r.tools or r.code_mode) and not os.path.isabs(path):
            lines = content.split("\n")
            if lines and lines[-1] == "":
                lines.pop()
            patch = "*** Begin Patch\n*** Add File: " + path + "\n" + "".join("+" + x + "\n" for x in lines) + "*** End Patch"
            return self.patch(patch)
        if "Write" in r.tools and os.path.isabs(full):
            return "Write", {"file_path": full, "content": content}
        if "write" in r.tools and os.path.isabs(full):
            return "write", {"filePath": full, "content": content}
        if "write_file" in r.tools and os.path.isabs(full):
            return "write_file", {"file_path": full, "content": content}
        return self.shell(shell_write(path, content))

    def edit(self, path, old, new):
        r, full = self.r, self.absolute(path)
        if ("apply_patch" in r.tools or r.code_mode) and not os.path.isabs(path):
            patch = ("*** Begin Patch\n*** Update File: " + path + "\n@@\n"
                     + "".join("-" + x + "\n" for x in old.rstrip("\n").split("\n"))
                     + "".join("+" + x + "\n" for x in new.rstrip("\n").split("\n")) + "*** End Patch")
            return self.patch(patch)
        if "Edit" in r.tools and os.path.isabs(full):
            return "Edit", {"file_path": full, "old_string": old, "new_string": new}
        if "edit" in r.tools and os.path.isabs(full):
            return "edit", {"filePath": full, "oldString": old, "newString": new}
        if "replace" in r.tools and os.path.isabs(full):
            return "replace", {"file_path": full, "old_string": old, "new_string": new, "instruction": "scripted edit"}
        return self.shell(shell_edit(path, old, new))

    def read(self, path):
        r, full = self.r, self.absolute(path)
        if "Read" in r.tools:
            return "Read", {"file_path": full}
        if "read" in r.tools:
            return "read", {"filePath": full}
        if "read_file" in r.tools:
            return "read_file", {"file_path": full}
        return self.shell("cat " + sh_quote(path))

    def patch(self, patch):
        if self.r.code_mode:
            return "exec", f"text(await tools.apply_patch({json.dumps(patch)}));\n"
        if "apply_patch" in self.r.tools:
            if self.r.tool_types.get("apply_patch") == "custom":
                return "apply_patch", patch
            key = "input" if "input" in self.r.tool_props.get("apply_patch", ()) else "patchText" \
                if "patchText" in self.r.tool_props.get("apply_patch", ()) else "input"
            return "apply_patch", {key: patch}
        return None


class Plan:
    def __init__(self):
        self.text, self.think, self.calls, self.usage = "", "", [], {}
        self.faults, self.delay, self.gate, self.gate_timeout = [], 0.0, None, 120.0
        self.scenario, self.index, self.past_end = "default", 0, False


class Fill:
    def __init__(self, req, n):
        self.v = {"CWD": req.cwd or ".", "PROMPT": req.prompt, "MODEL": req.model, "N": str(n), "ESC": "\x1b",
                  "BEL": "\x07", "ANSI": ANSI, "OSC": OSC, "SECRET": FAKE_SECRET, "NL": "\n"}

    def __call__(self, v):
        if isinstance(v, str):
            return re.sub(r"@\{([A-Z]+)(?::(\d+))?\}", self.one, v)
        if isinstance(v, list):
            return [self(x) for x in v]
        if isinstance(v, dict):
            return {k: self(x) for k, x in v.items()}
        return v

    def one(self, m):
        if m.group(1) == "HUGE":
            n = int(m.group(2) or 1 << 20)
            line = "huge-line-0123456789 abcdefghijklmnopqrstuvwxyz\n"
            return (line * (n // len(line) + 1))[:n]
        return self.v.get(m.group(1), m.group(0))


def make_plan(state, script, req, scenario):
    turns = script.scenarios.get(scenario, [])
    n = state.session_number(req.session)
    fill, tools, p = Fill(req, n), Tools(req), Plan()
    p.scenario, p.index = scenario, req.turn
    p.usage = {"input": 1000, "cached": 200, "output": 50, "reasoning": 10, **script.get("usage", {})}
    if req.turn >= len(turns):
        p.past_end = True
        t = {"final": "Done."}
        if turns and ("final" in turns[-1] or "json" in turns[-1]):
            t = {k: turns[-1][k] for k in ("final", "json", "usage", "fault", "delay", "gate") if k in turns[-1]}
    else:
        t = turns[req.turn]
    t = fill(t)
    p.think = t.get("think", "")
    texts = [t[k] for k in ("say", "final") if t.get(k)]
    calls = []
    if "json" in t and "StructuredOutput" in req.tools:      # claude --json-schema
        if p.past_end:
            texts = ["Done."]
        else:
            calls.append((("StructuredOutput", t["json"]), "json"))
    elif "json" in t:
        texts.append(json.dumps(t["json"]))
    via_shell = t.get("via") == "shell"
    for c in as_list(t.get("run")):
        calls.append((tools.shell(c), f"run: {c}"))
    for w in as_list(t.get("write")):
        calls.append((tools.shell(shell_write(w["path"], w["content"])) if via_shell else tools.write(w["path"], w["content"]),
                      f"write: {w['path']}"))
    for e in as_list(t.get("edit")):
        calls.append((tools.shell(shell_edit(e["path"], e["old"], e["new"])) if via_shell
                      else tools.edit(e["path"], e["old"], e["new"]), f"edit: {e['path']}"))
    for x in as_list(t.get("read")):
        calls.append((tools.shell("cat " + sh_quote(x)) if via_shell else tools.read(x), f"read: {x}"))
    for x in as_list(t.get("patch")):
        calls.append((tools.patch(x), "patch"))
    for x in as_list(t.get("tool")):
        calls.append(((x["name"], x.get("args", {})), "tool"))
    for i, (call, what) in enumerate(calls):
        if call is None:
            texts.append(f"(no tool offered for {what})")
        else:
            # ids must be unique in a whole conversation, resumed ones too
            p.calls.append((f"call_turn{req.turn:02d}x{i}_{os.urandom(5).hex()}", call[0], call[1]))
    if not calls and not texts:
        texts = ["Done."]
    p.text = "\n".join(texts)
    p.usage.update(t.get("usage", {}))
    p.delay = float(t.get("delay", 0))
    p.gate, p.gate_timeout = t.get("gate"), float(t.get("gate_timeout", 120))
    tries = state.attempt((req.session, scenario, req.turn, len(req.prompts)))
    for f in as_list(t.get("fault")):
        if not f.get("times") or tries <= int(f["times"]):
            p.faults.append(f)
    return p, n, tries


def aux_plan(state, script, req):
    p = Plan()
    p.scenario, p.usage = "(aux)", {"input": 20, "cached": 0, "output": 5, "reasoning": 0}
    if req.schema:
        p.text = json.dumps(json_example(req.schema))
    elif req.schema is not None:
        p.text = "{}"
    else:
        p.text = str(script.get("aux", "Scripted title"))
    return p, state.session_number(req.session), 1


# ---------------------------------------------------------- wire: answering
# Each `*_events` gives (list of SSE byte chunks); each `*_object` the answer
# in one piece.

def sse(obj, event=None):
    head = f"event: {event}\n" if event else ""
    return (head + "data: " + json.dumps(obj, ensure_ascii=False) + "\n\n").encode()


def chunks(text, n):
    n = max(n, len(text) // 4000 + 1)
    return [text[i:i + n] for i in range(0, len(text), n)]


def rid(prefix):
    return prefix + hashlib.sha256(os.urandom(8)).hexdigest()[:20]


def responses_items(req, p):
    items = []
    if p.think:
        items.append({"type": "reasoning", "id": rid("rs_"), "summary": [{"type": "summary_text", "text": p.think}],
                      "encrypted_content": None})
    if p.text:
        items.append({"type": "message", "id": rid("msg_"), "role": "assistant", "status": "completed",
                      "content": [{"type": "output_text", "text": p.text, "annotations": []}]})
    for cid, name, args in p.calls:
        if isinstance(args, str):
            items.append({"type": "custom_tool_call", "id": rid("ctc_"), "call_id": cid, "name": name, "input": args,
                          "status": "completed"})
            if name in req.tool_ns:
                items[-1]["namespace"] = req.tool_ns[name]
        else:
            items.append({"type": "function_call", "id": rid("fc_"), "call_id": cid, "name": name,
                          "arguments": json.dumps(args), "status": "completed"})
    return items


def responses_object(req, p, status="completed"):
    u = p.usage
    return {"id": rid("resp_"), "object": "response", "created_at": int(time.time()), "status": status,
            "model": req.model, "output": responses_items(req, p), "error": None,
            "usage": {"input_tokens": u["input"], "input_tokens_details": {"cached_tokens": u["cached"]},
                      "output_tokens": u["output"], "output_tokens_details": {"reasoning_tokens": u["reasoning"]},
                      "total_tokens": u["input"] + u["output"]}}


def responses_events(req, p, size):
    full = responses_object(req, p)
    seq = iter(range(1, 1 << 30))
    base = {**full, "status": "in_progress", "output": [], "usage": None}

    def ev(kind, **kw):
        return sse({"type": kind, "sequence_number": next(seq), **kw}, kind)
    out = [ev("response.created", response=base), ev("response.in_progress", response=base)]
    for i, it in enumerate(full["output"]):
        if it["type"] == "reasoning":
            out.append(ev("response.output_item.added", output_index=i, item={**it, "summary": []}))
            out.append(ev("response.reasoning_summary_part.added", item_id=it["id"], output_index=i, summary_index=0,
                          part={"type": "summary_text", "text": ""}))
            for d in chunks(p.think, size):
                out.append(ev("response.reasoning_summary_text.delta", item_id=it["id"], output_index=i, summary_index=0, delta=d))
            out.append(ev("response.reasoning_summary_text.done", item_id=it["id"], output_index=i, summary_index=0, text=p.think))
        elif it["type"] == "message":
            out.append(ev("response.output_item.added", output_index=i, item={**it, "status": "in_progress", "content": []}))
            for d in chunks(p.text, size):
                out.append(ev("response.output_text.delta", item_id=it["id"], output_index=i, content_index=0, delta=d))
            out.append(ev("response.output_text.done", item_id=it["id"], output_index=i, content_index=0, text=p.text))
        else:
            key = "input" if it["type"] == "custom_tool_call" else "arguments"
            kind = "custom_tool_call_input" if key == "input" else "function_call_arguments"
            out.append(ev("response.output_item.added", output_index=i, item={**it, key: "", "status": "in_progress"}))
            for d in chunks(it[key], max(size, 64)):
                out.append(ev(f"response.{kind}.delta", item_id=it["id"], output_index=i, delta=d))
            out.append(ev(f"response.{kind}.done", item_id=it["id"], output_index=i, **{key: it[key]}))
        out.append(ev("response.output_item.done", output_index=i, item=it))
    out.append(ev("response.completed", response=full))
    return out


def chat_usage(u):
    return {"prompt_tokens": u["input"], "completion_tokens": u["output"], "total_tokens": u["input"] + u["output"],
            "prompt_tokens_details": {"cached_tokens": u["cached"]},
            "completion_tokens_details": {"reasoning_tokens": u["reasoning"]}}


def chat_calls(p):
    return [{"id": cid, "type": "function", "function": {"name": name, "arguments": json.dumps(
        args if not isinstance(args, str) else {"input": args})}} for cid, name, args in p.calls]


def chat_object(req, p):
    msg = {"role": "assistant", "content": p.text or None}
    if p.calls:
        msg["tool_calls"] = chat_calls(p)
    return {"id": rid("chatcmpl-"), "object": "chat.completion", "created": int(time.time()), "model": req.model,
            "choices": [{"index": 0, "message": msg, "finish_reason": "tool_calls" if p.calls else "stop"}],
            "usage": chat_usage(p.usage)}


def chat_events(req, p, size):
    head = {"id": rid("chatcmpl-"), "object": "chat.completion.chunk", "created": int(time.time()), "model": req.model}

    def ch(delta, fin=None):
        return sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": fin}]})
    out = [ch({"role": "assistant", "content": ""})]
    for d in chunks(p.think, size):
        out.append(ch({"reasoning_content": d}))
    for d in chunks(p.text, size):
        out.append(ch({"content": d}))
    for i, tc in enumerate(chat_calls(p)):
        f = tc["function"]
        out.append(ch({"tool_calls": [{"index": i, "id": tc["id"], "type": "function",
                                       "function": {"name": f["name"], "arguments": ""}}]}))
        for d in chunks(f["arguments"], max(size, 64)):
            out.append(ch({"tool_calls": [{"index": i, "function": {"arguments": d}}]}))
    out.append(ch({}, "tool_calls" if p.calls else "stop"))
    out.append(sse({**head, "choices": [], "usage": chat_usage(p.usage)}))
    out.append(b"data: [DONE]\n\n")
    return out


def anth_usage(u, out=None):
    return {"input_tokens": u["input"] - u["cached"], "cache_creation_input_tokens": 0, "cache_read_input_tokens": u["cached"],
            "output_tokens": u["output"] if out is None else out}


def anth_blocks(p):
    b = []
    if p.think:
        b.append({"type": "thinking", "thinking": p.think, "signature": "c2NyaXB0ZWQ="})
    if p.text:
        b.append({"type": "text", "text": p.text})
    for cid, name, args in p.calls:
        b.append({"type": "tool_use", "id": cid.replace("call_", "toolu_"), "name": name,
                  "input": args if not isinstance(args, str) else {"input": args}})
    return b


def anthropic_object(req, p):
    return {"id": rid("msg_"), "type": "message", "role": "assistant", "model": req.model, "content": anth_blocks(p),
            "stop_reason": "tool_use" if p.calls else "end_turn", "stop_sequence": None, "usage": anth_usage(p.usage)}


def anthropic_events(req, p, size):
    full = anthropic_object(req, p)

    def ev(kind, **kw):
        return sse({"type": kind, **kw}, kind)
    out = [ev("message_start", message={**full, "content": [], "stop_reason": None, "usage": anth_usage(p.usage, 1)}),
           ev("ping")]
    for i, b in enumerate(full["content"]):
        if b["type"] == "text":
            out.append(ev("content_block_start", index=i, content_block={"type": "text", "text": ""}))
            for d in chunks(b["text"], size):
                out.append(ev("content_block_delta", index=i, delta={"type": "text_delta", "text": d}))
        elif b["type"] == "thinking":
            out.append(ev("content_block_start", index=i, content_block={"type": "thinking", "thinking": "", "signature": ""}))
            for d in chunks(b["thinking"], size):
                out.append(ev("content_block_delta", index=i, delta={"type": "thinking_delta", "thinking": d}))
            out.append(ev("content_block_delta", index=i, delta={"type": "signature_delta", "signature": b["signature"]}))
        else:
            out.append(ev("content_block_start", index=i, content_block={**b, "input": {}}))
            for d in chunks(json.dumps(b["input"]), max(size, 64)):
                out.append(ev("content_block_delta", index=i, delta={"type": "input_json_delta", "partial_json": d}))
        out.append(ev("content_block_stop", index=i))
    out.append(ev("message_delta", delta={"stop_reason": full["stop_reason"], "stop_sequence": None},
                  usage={"output_tokens": p.usage["output"]}))
    out.append(ev("message_stop"))
    return out


def gemini_chunk(req, parts, p=None, finish=None):
    c = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        c["finishReason"] = finish
    o = {"candidates": [c], "modelVersion": req.model, "responseId": "scripted"}
    if p is not None:
        u = p.usage
        o["usageMetadata"] = {"promptTokenCount": u["input"], "cachedContentTokenCount": u["cached"],
                              "candidatesTokenCount": u["output"], "thoughtsTokenCount": u["reasoning"],
                              "totalTokenCount": u["input"] + u["output"] + u["reasoning"]}
    return o


def gemini_call_parts(p):
    return [{"functionCall": {"id": cid, "name": name, "args": args if not isinstance(args, str) else {"input": args}}}
            for cid, name, args in p.calls]


def gemini_object(req, p):
    parts = ([{"text": p.think, "thought": True}] if p.think else []) + ([{"text": p.text}] if p.text else [])
    return gemini_chunk(req, parts + gemini_call_parts(p), p, "STOP")


def gemini_events(req, p, size):
    out = []
    for d in chunks(p.think, size):
        out.append(sse(gemini_chunk(req, [{"text": d, "thought": True}])))
    for d in chunks(p.text, size):
        out.append(sse(gemini_chunk(req, [{"text": d}])))
    for part in gemini_call_parts(p):
        out.append(sse(gemini_chunk(req, [part])))
    out.append(sse(gemini_chunk(req, [{"text": ""}] if not out else [], p, "STOP")))
    return out


EVENTS = {"responses": responses_events, "chat": chat_events, "anthropic": anthropic_events, "gemini": gemini_events}
OBJECTS = {"responses": responses_object, "chat": chat_object, "anthropic": anthropic_object, "gemini": gemini_object}


def error_body(api, status, message, code=None):
    kind = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
            429: "rate_limit_error", 529: "overloaded_error"}.get(status, "api_error" if api == "anthropic" else "server_error")
    if api == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}
    if api == "gemini":
        st = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
              429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}.get(status, "INTERNAL")
        return {"error": {"code": status, "message": message, "status": st}}
    return {"error": {"message": message, "type": kind, "param": None, "code": code or ("invalid_api_key" if status == 401 else kind)}}


def error_event(api, req, f):
    msg, code = f.get("message", "scripted in-stream error"), f.get("code", "server_error")
    if api == "responses":
        r = {"id": rid("resp_"), "object": "response", "status": "failed", "error": {"code": code, "message": msg},
             "model": req.model, "output": [], "usage": None}
        return [sse({"type": "response.failed", "sequence_number": 9, "response": r}, "response.failed")]
    if api == "anthropic":
        return [sse({"type": "error", "error": {"type": f.get("code", "overloaded_error"), "message": msg}}, "error")]
    return [sse(error_body(api, 500, msg, code))]


# ------------------------------------------------------------------ handler

class ClientGone(Exception):
    pass


API_RES = [("responses", re.compile(r"/responses(?:/compact)?$")),
           ("chat", re.compile(r"/chat/completions$")),
           ("anthropic", re.compile(r"/messages(?:/count_tokens)?$")),
           ("gemini", re.compile(r"/models/[^/:]+:(?:streamGenerateContent|generateContent|countTokens)$"))]


def masked(value):
    v = value.split(" ")[-1]
    if v.startswith(("fake", "sk-fake", "sk-ant-fake")):
        return value
    return "<masked " + hashlib.sha256(v.encode()).hexdigest()[:8] + ">"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "scripted/" + VERSION
    sys_version = ""
    timeout = 600
    state = None        # set by make_server
    quiet = True

    # -- plumbing
    def log_message(self, fmt, *args):
        if not self.quiet:
            sys.stderr.write("server: " + fmt % args + "\n")

    def gone(self):
        """True when the client has closed its end."""
        try:
            ready, _, _ = select.select([self.connection], [], [], 0)
            return bool(ready) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def wait(self, seconds=None, event=None):
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            step = 0.05 if left is None else min(0.05, left)
            if event is not None:
                if event.wait(step):
                    return
            else:
                time.sleep(step)
            if self.gone() or self.state.stopping.is_set():
                raise ClientGone()

    def read_body(self):
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            parts, total = [], 0
            while True:
                size = int(self.rfile.readline(64).split(b";")[0] or b"0", 16)
                if size == 0:
                    while self.rfile.readline(1024).strip():
                        pass
                    break
                total += size
                if total > MAX_BODY:
                    raise ValueError("body too large")
                parts.append(self.rfile.read(size))
                self.rfile.readline(8)
            raw = b"".join(parts)
        else:
            n = int(self.headers.get("content-length") or 0)
            if n > MAX_BODY:
                raise ValueError("body too large")
            raw = self.rfile.read(n)
        enc = self.headers.get("content-encoding", "").lower()
        if enc == "gzip":
            raw = gzip.decompress(raw)
        elif enc == "deflate":
            raw = zlib.decompress(raw)
        elif enc not in ("", "identity"):
            raise ValueError("content-encoding " + enc)
        return raw

    def send_json(self, status, obj, headers=()):
        raw = obj if isinstance(obj, bytes) else json.dumps(obj).encode()
        self.send_response(status)
        ct = "application/json"
        for k, v in headers:
            if k.lower() == "content-type":
                ct = v
                continue
            self.send_header(k, str(v))
        self.send_header("Content-Type", ct)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
            self.wfile.flush()

    def start_stream(self, ct="text/event-stream"):
        self.send_response(200)
        self.send_header("Content-Type", ct)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("x-request-id", rid("req_"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")
            self.wfile.flush()

    def end_stream(self):
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def hang_up(self, rst=False):
        self.close_connection = True
        try:
            if rst:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()
        except OSError:
            pass

    # -- entry
    def do_GET(self):
        self.handle_any()
    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def handle_any(self):
        st = self.state
        if not self.client_address[0].startswith("127."):
            self.hang_up()
            return
        t0 = time.monotonic()
        parts = urlsplit(self.path)
        path, query = parts.path, parse_qs(parts.query)
        try:
            raw = self.read_body()
        except (ValueError, OSError, zlib.error) as e:
            self.close_connection = True
            self.send_json(415, {"error": {"message": f"unreadable body: {e}"}})
            return
        if path.startswith("/__ctl/"):
            self.control(path[len("/__ctl/"):], raw)
            return
        forced = None
        m = re.match(r"^/s/([^/]+)(/.*)$", path)
        if m:
            forced, path = m.group(1), m.group(2)
        key = self.headers.get("authorization") or self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") \
            or (query.get("key") or [""])[0]
        api = next((a for a, rx in API_RES if rx.search(path)), None)
        with st.lock:
            st.n += 1
            n = st.n
            st.in_flight += 1
            st.max_in_flight = max(st.max_in_flight, st.in_flight)
        rec = {"n": n, "method": self.command, "path": self.path, "api": api}
        try:
            self.dispatch(rec, api, path, query, raw, key, forced)
        except (ClientGone, ConnectionError, BrokenPipeError, socket.timeout) as e:
            rec["client_gone"] = True
            rec["error"] = type(e).__name__
            self.close_connection = True
            with st.lock:
                st.gone += 1
        except Exception as e:                      # a fault of ours: say so, go on
            rec["server_error"] = repr(e)
            self.close_connection = True
            try:
                self.send_json(500, {"error": {"message": f"scripted server failed: {e!r}"}})
            except OSError:
                pass
        finally:
            with st.lock:
                st.in_flight -= 1
            rec.pop("_", None)
            st.log(ev="response", ms=round((time.monotonic() - t0) * 1000), **rec)

    def dispatch(self, rec, api, path, query, raw, key, forced):
        st = self.state
        script = st.script
        headers = {k.lower(): v for k, v in self.headers.items()}
        shown = {k: (masked(v) if k in ("authorization", "x-api-key", "x-goog-api-key", "cookie") else v)
                 for k, v in headers.items() if k not in ("accept-encoding", "connection")}
        if api is None:
            with st.lock:
                k = f"{self.command} {path}"
                name = "cloud" if st.cloud is not None and st.cloud.owns(path) else "models" if path.endswith("/models") else "other"
                st.by_api[name] = st.by_api.get(name, 0) + 1
                if name == "other":
                    st.unknown[k] = st.unknown.get(k, 0) + 1
            st.log(ev="request", n=rec["n"], method=self.command, path=self.path, api=name, headers=shown,
                   body=raw[:4000].decode("utf-8", "replace"))
            rec["api"] = name
            if name == "cloud":
                status, obj, hdrs = st.cloud.handle(self.command, path, query, raw, headers, self)
                rec["status"] = status
                if status:
                    self.send_json(status, obj, hdrs)
                return
            if name == "models":
                m = str(script.get("model", "scripted"))
                rec["status"] = 200
                self.send_json(200, {"object": "list", "data": [{"id": m, "object": "model", "created": 1, "owned_by": "scripted",
                                                                 "type": "model", "display_name": m}]})
                return
            rec["status"] = 200 if self.command == "HEAD" else 404
            self.send_json(rec["status"], {"error": {"message": f"scripted server: no such path {path}", "type": "not_found_error"}})
            return

        if self.command != "POST":
            # a WebSocket upgrade, or a probe
            rec["status"] = 405
            st.log(ev="request", n=rec["n"], method=self.command, path=self.path, api=api, headers=shown)
            self.send_json(405, error_body(api, 405, "POST only"), [("Allow", "POST")])
            return
        try:
            body = json.loads(raw or b"{}")
            if not isinstance(body, dict):
                raise ValueError("not an object")
            req = PARSERS[api](body, headers, path)
        except (ValueError, AttributeError, TypeError, KeyError) as e:
            rec["status"] = 400
            st.log(ev="request", n=rec["n"], method=self.command, path=self.path, api=api, headers=shown,
                   body=raw[:4000].decode("utf-8", "replace"), parse_error=repr(e))
            self.send_json(400, error_body(api, 400, f"unreadable request: {e}"))
            return
        with st.lock:
            st.by_api[api] = st.by_api.get(api, 0) + 1
        want = script.get("require_key", None)
        bare = key.removeprefix("Bearer ").strip()
        scenario = self.choose(script, req, forced, bare)
        rec.update(model=req.model, stream=req.stream, scenario=scenario, turn=req.turn, session=req.session)
        st.log(ev="request", n=rec["n"], method=self.command, path=self.path, api=api, model=req.model, stream=req.stream,
               turn=req.turn, session=req.session, scenario=scenario, aux=req.aux, cwd=req.cwd, prompt=req.prompt[:2000],
               prompts=len(req.prompts), tools=list(req.tools), schema=req.schema is not None, headers=shown,
               body=body if script.get("log_bodies", True) else None, bytes=len(raw))
        if want is not None and bare.split(":")[0] != want:
            rec["status"] = 401
            self.send_json(401, error_body(api, 401, "Incorrect API key provided (scripted)"))
            return
        if req.aux == "count":
            rec["status"] = 200
            self.send_json(200, {"totalTokens": 100} if api == "gemini" else {"input_tokens": 100})
            return
        if st.attempt(("all", req.session, scenario)) > int(script.get("max_requests", 500)):
            rec.update(status=400, runaway=True)
            self.send_json(400, error_body(api, 400, "scripted server: too many requests in this session"))
            return
        if req.aux:
            plan, num, tries = aux_plan(st, script, req)
            rec["aux"] = req.aux
        else:
            plan, num, tries = make_plan(st, script, req, scenario)
        rec.update(session_no=num, attempt=tries, past_end=plan.past_end,
                   calls=[c[1] for c in plan.calls], faults=[f["kind"] for f in plan.faults])
        self.answer(rec, api, req, plan, script, query)

    def choose(self, script, req, forced, key):
        st = self.state
        if forced:
            return forced if forced in script.scenarios else "default"
        if ":" in key and key.rsplit(":", 1)[1] in script.scenarios:
            return key.rsplit(":", 1)[1]
        m = re.search(r"\[scenario:([\w.-]+)\]", req.prompt)
        if m and m.group(1) in script.scenarios:
            return m.group(1)
        for i, r in enumerate(script.routes):
            if r.get("api") and r["api"] != req.api:
                continue
            if r.get("prompt") and not re.search(r["prompt"], req.prompt):
                continue
            if r.get("model") and not re.search(r["model"], req.model):
                continue
            if r.get("session"):
                if req.aux:
                    continue
                with st.lock:
                    seen = st.route_sessions.setdefault(r.get("group", "routes"), [])
                    if req.session not in seen:
                        seen.append(req.session)
                    if seen.index(req.session) + 1 != int(r["session"]):
                        continue
            return r["scenario"]
        return "default"

    # -- the answer, with its faults
    def answer(self, rec, api, req, plan, script, query):
        faults = {f["kind"]: f for f in plan.faults}
        if plan.gate:
            ev = self.state.gate(plan.gate)
            with self.state.lock:
                self.state.waiting[plan.gate] = self.state.waiting.get(plan.gate, 0) + 1
            try:
                self.wait(plan.gate_timeout, ev)
            finally:
                with self.state.lock:
                    self.state.waiting[plan.gate] -= 1
        if plan.delay:
            self.wait(plan.delay)
        stall = faults.get("stall")
        if stall and stall.get("at", "headers") == "headers":
            self.wait(float(stall.get("seconds", 30)))
        if "reset" in faults:
            rec["status"] = 0
            self.hang_up(rst=True)
            return
        if "http" in faults:
            f = faults["http"]
            status = int(f.get("status", 500))
            rec["status"] = status
            hdrs = [("Retry-After", f["retry_after"])] if "retry_after" in f else []
            b = f.get("body")
            if isinstance(b, str):
                self.send_json(status, b.encode(), hdrs + [("Content-Type", f.get("content_type", "text/html"))])
            else:
                self.send_json(status, error_body(api, status, f.get("message", f"scripted {status}"), f.get("code")), hdrs)
            return
        rec["status"] = 200
        size = int(script.get("chunk", 24))
        pause = float(faults.get("slow", {}).get("seconds", 0.1)) if "slow" in faults else float(script.get("delta_delay", 0))
        if not req.stream:
            obj = OBJECTS[api](req, plan)
            raw = json.dumps(obj).encode()
            if "garbage" in faults:
                raw = random.Random(7).randbytes(int(faults["garbage"].get("bytes", 400)))
            elif "badjson" in faults:
                raw = raw[:-1] + b",,"
            elif "truncate" in faults:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw[:int(len(raw) * float(faults["truncate"].get("at", 0.5)))])
                self.wfile.flush()
                self.hang_up()
                return
            elif "empty" in faults:
                raw = b""
            self.send_json(200, raw)
            return
        events = EVENTS[api](req, plan, size)
        if api == "gemini" and "sse" not in (query.get("alt") or []):
            objs = [json.loads(e[6:]) for e in events]
            self.send_json(200, objs)
            return
        mid = max(1, len(events) // 2)
        if "empty" in faults:
            events = []
        if "error_event" in faults:
            events = events[:2 if api in ("responses", "anthropic") else 1] + error_event(api, req, faults["error_event"])
        if "badjson" in faults:
            events.insert(mid, b'data: {"type": "response.output_text.delta", "delta": "unfinished\n\n')
        if "garbage" in faults:
            g = random.Random(7).randbytes(int(faults["garbage"].get("bytes", 400)))
            if faults["garbage"].get("at", "instead") == "instead":
                events = [g]
            else:
                events.insert(mid, g + b"\n\n")
        cut = None
        if "truncate" in faults:
            cut = max(1, int(len(events) * float(faults["truncate"].get("at", 0.5))))
        stall_at = None
        if stall:
            stall_at = {"start": 0, "middle": mid, "end": len(events) - 1}.get(stall.get("at", "headers"))
        self.start_stream()
        for i, e in enumerate(events):
            if i == stall_at:
                self.wait(float(stall.get("seconds", 30)))
            if cut is not None and i >= cut:
                if faults["truncate"].get("abrupt", True):
                    self.hang_up()
                    return
                break
            self.chunk(e)
            if pause:
                self.wait(pause)
        self.end_stream()

    # -- control
    def control(self, what, raw):
        st = self.state
        if what == "health":
            self.send_json(200, {"ok": True, "version": VERSION, "pid": os.getpid()})
        elif what == "stats":
            self.send_json(200, st.stats())
        elif what == "log":
            data = b""
            if st.log_path:
                with open(st.log_path, "rb") as f:
                    data = f.read()
            self.send_json(200, data, [("Content-Type", "application/x-ndjson")])
        elif what == "reset":
            st.reset()
            if st.cloud is not None:
                st.cloud.reset()
            self.send_json(200, {"ok": True})
        elif what.startswith("release/"):
            st.gate(what.split("/", 1)[1]).set()
            self.send_json(200, {"ok": True})
        elif what == "script":
            try:
                new = Script(json.loads(raw))
            except (ScriptError, ValueError) as e:
                self.send_json(400, {"error": str(e)})
                return
            st.script = new
            self.send_json(200, {"ok": True})
        elif what == "shutdown":
            self.send_json(200, {"ok": True})
            st.stopping.set()
            threading.Thread(target=self.server.shutdown, daemon=True).start()
        else:
            self.send_json(404, {"error": "no such control"})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        e = sys.exc_info()[1]
        if not isinstance(e, (ConnectionError, OSError, ValueError)):
            super().handle_error(request, client_address)


def make_server(script, port=0, log_path=None, cloud=None, quiet=True):
    """A server, not yet serving; for use inside a Python test."""
    state = State(script, log_path, cloud)
    h = type("BoundHandler", (Handler,), {"state": state, "quiet": quiet})
    s = Server(("127.0.0.1", port), h)
    s.state = state
    return s


def raise_loopback():
    """Brings `lo` up, as `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))     # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING


def main(argv=None):
    ap = argparse.ArgumentParser(description="Scripted model server on 127.0.0.1 (see the top of this file).")
    ap.add_argument("--script", help="TOML or JSON script (none: every answer is 'Done.')")
    ap.add_argument("--cloud", help="TOML or JSON script of the Codex Cloud backend (cloud.py)")
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--port-file")
    ap.add_argument("--log")
    ap.add_argument("--quiet", action="store_true")
    ap.add_argument("--with-parent", action="store_true")
    ap.add_argument("--raise-loopback", action="store_true")
    ap.add_argument("--check", action="store_true", help="read the script, say whether it is right, end")
    a = ap.parse_args(argv)
    try:
        script = Script.load(a.script)
        cloud = None
        if a.cloud:
            sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
            import cloud as cloud_mod
            cloud = cloud_mod.Cloud.load(a.cloud)
    except (ScriptError, OSError, ValueError) as e:
        print(f"server.py: {e}", file=sys.stderr)
        return 2
    if a.check:
        print("ok")
        return 0
    if a.raise_loopback:
        raise_loopback()
    srv = make_server(script, a.port, a.log, cloud, a.quiet)
    port = srv.server_address[1]

    def stop(*_):
        srv.state.stopping.set()
        threading.Thread(target=srv.shutdown, daemon=True).start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if a.port_file:
        tmp = a.port_file + ".tmp"
        with open(tmp, "w") as f:
            f.write(f"{port}\n")
        os.replace(tmp, a.port_file)
    if a.with_parent:
        parent = os.getppid()

        def watch():
            while os.getppid() == parent:
                time.sleep(0.5)
            stop()
        threading.Thread(target=watch, daemon=True).start()
    print(f"READY http://127.0.0.1:{port}", flush=True)
    srv.serve_forever(poll_interval=0.1)
    srv.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
