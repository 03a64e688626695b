#!/usr/bin/env python3
"""A scripted Codex Cloud backend, on loopback, for the real `codex cloud`.

Mounted by server.py (--cloud C.toml), or alone:
  cloud.py --cloud C.toml [--port 0] [--port-file F] [--log F]
The client:  CODEX_CLOUD_TASKS_BASE_URL=http://127.0.0.1:PORT/backend-api
with a fake auth.json in CODEX_HOME (`cloud.py --fake-auth DIR` writes one).
@openai/codex 0.94 to 0.150 have every headless subcommand and accept such a
URL; newer ones refuse any origin but the vendor's own.

Routes, under /backend-api/wham (or /api/codex when the base URL has no
"/backend-api"; both work here):
  GET  environments
  GET  environments/by-repo/github/OWNER/NAME
  POST tasks                          {new_task:{environment_id, branch,
                                      run_environment_in_qa_mode},
                                      input_items:[{type:message,...},
                                      {type:pre_apply_patch,...}],
                                      metadata:{best_of_n}}
  GET  tasks/list?limit=&task_filter=current&environment_id=&cursor=
  GET  tasks/ID
  GET  tasks/ID/turns/TURN/sibling_turns
  GET  usage, config/requirements     (an empty answer)
  GET  /__cloud                       all tasks as this file sees them

SCRIPT (TOML or JSON)
  [cloud]
    token        = "..."        accept only this bearer token (else 401)
    task_prefix  = "task_e_"    how task ids begin
    environments = [{id=, label=, is_pinned=, task_count=, repo="owner/name"}]
  [[existing]]  as [[task]], plus id=; there from the start
  [[task]]      a template; a POST takes the first whose prompt= (regular
                expression) matches, else the first without prompt=
    title=, pending_polls=0, pending_s=0.0   how long it stays pending, counted
                in requests about it (list or details), or in seconds
    vanish_polls=    gone after so many requests about it: not listed, and 404
    state=      force the list's status (pending|ready|applied|error)
    [[task.attempts]]           attempt 1 is the "current" turn, the others
                                its siblings; best_of_n takes that many, and
                                begins again at the first when there are fewer
      status = "completed"      or failed, cancelled, in_progress, pending
      files  = {"a.txt" = "new content"}          becomes an add diff
      edits  = [{path=, old="whole old file", new="whole new file"}]
      diff   = "..."            verbatim instead (may be anything at all)
      as_pr  = true             the diff sits in a "pr" item (else output_diff)
      message= "what it says"   error = {code=, message=}
      extra_polls = 0           ready that much later than the task
  [[fault]]     path= (regular expression), method=, times= (0: always), and
                status=, body=, content_type= | stall= seconds | garbage=true
                | reset=true
"""
import argparse
import base64
import difflib
import json
import os
import random
import re
import sys
import threading
import time
import tomllib

ROUTE = re.compile(r"^(?:/backend-api)?/(?:wham|api/codex)/(.*)$")


def add_diff(path, content):
    lines = content.split("\n")
    tail = lines.pop() if lines and lines[-1] == "" else None
    body = "".join("+" + x + "\n" for x in lines)
    if tail is None:
        body += "\\ No newline at end of file\n"
    return (f"diff --git a/{path} b/{path}\nnew file mode 100644\nindex 0000000..1111111\n--- /dev/null\n+++ b/{path}\n"
            f"@@ -0,0 +1,{len(lines)} @@\n{body}")


def edit_diff(path, old, new):
    d = "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}"))
    return f"diff --git a/{path} b/{path}\nindex 1111111..2222222 100644\n{d}"


def stats_of(diff):
    files = len(re.findall(r"^diff --git ", diff, re.M))
    add = len(re.findall(r"^\+(?!\+\+)", diff, re.M))
    rem = len(re.findall(r"^-(?!--)", diff, re.M))
    return {"files_modified": files, "lines_added": add, "lines_removed": rem}


class Task:
    def __init__(self, tid, tpl, prompt, env, branch, n, starting_diff=None):
        self.id, self.tpl, self.prompt, self.env, self.branch = tid, tpl, prompt, env, branch
        self.starting_diff = starting_diff
        self.created, self.polls = time.time(), 0
        pool = tpl.get("attempts") or [{}]
        self.attempts = [dict(pool[i % len(pool)], turn=f"{tid}~assttrn_{i + 1}", place=i) for i in range(n)]

    def is_gone(self):
        return 0 < int(self.tpl.get("vanish_polls", 0)) <= self.polls

    def diff(self, a):
        if "diff" in a:
            return a["diff"]
        out = "".join(add_diff(p, c) for p, c in (a.get("files") or {}).items())
        return out + "".join(edit_diff(e["path"], e["old"], e["new"]) for e in a.get("edits") or [])

    def status(self, a):
        t = self.tpl
        if self.polls <= int(t.get("pending_polls", 0)) or time.time() - self.created < float(t.get("pending_s", 0)):
            return "in_progress" if self.polls > 1 else "pending"
        if self.polls <= int(t.get("pending_polls", 0)) + int(a.get("extra_polls", 0)):
            return "in_progress"
        return a.get("status", "completed")

    def turn(self, a):
        st = self.status(a)
        done = st in ("completed", "failed", "cancelled")
        items = []
        if done and st == "completed":
            diff = self.diff(a)
            if diff and a.get("as_pr", True):
                items.append({"type": "pr", "pr_title": self.tpl.get("title", "Change"), "pr_message": a.get("message", ""),
                              "output_diff": {"type": "output_diff", "repo_id": "github-1", "base_commit_sha": "0" * 40, "diff": diff}})
            elif diff:
                items.append({"type": "output_diff", "repo_id": "github-1", "base_commit_sha": "0" * 40, "diff": diff})
        if done and a.get("message"):
            items.append({"type": "message", "role": "assistant", "content": [{"content_type": "text", "text": a["message"]}]})
        o = {"id": a["turn"], "turn_status": st, "attempt_placement": a["place"], "created_at": self.created,
             "sibling_turn_ids": [x["turn"] for x in self.attempts if x is not a], "output_items": items,
             "type": "assistant"}
        if st == "failed":
            o["error"] = a.get("error") or {"code": "SCRIPTED", "message": "scripted failure"}
        return o

    def display(self, envs):
        a = self.attempts[0]
        t = self.turn(a)
        diff = self.diff(a) if t["turn_status"] == "completed" else ""
        label = next((e.get("label") for e in envs if e["id"] == self.env), None)
        d = {"environment_label": label, "branch_name": self.branch,
             "latest_turn_status_display": {"turn_id": t["id"], "turn_status": t["turn_status"], "created_at": self.created,
                                            "updated_at": self.created, "sibling_turn_ids": t["sibling_turn_ids"],
                                            **({"diff_stats": stats_of(diff)} if diff else {})}}
        if self.tpl.get("state"):
            d["state"] = self.tpl["state"]
            del d["latest_turn_status_display"]["turn_status"]
        return d

    def row(self, envs):
        return {"id": self.id, "title": self.tpl.get("title") or self.prompt[:60] or "Untitled", "has_generated_title": True,
                "created_at": self.created, "updated_at": self.created, "archived": False, "has_unread_turn": False,
                "task_status_display": self.display(envs), "pull_requests": []}

    def details(self, envs):
        turn = self.turn(self.attempts[0])
        row = self.row(envs)
        o = {"task": {**row, "environment_id": self.env, "current_turn_id": turn["id"], "external_pull_requests": []},
             "task_status_display": row["task_status_display"],
             "current_user_turn": {"id": self.id + "~usrtrn_1", "created_at": self.created, "input_items": [
                 {"type": "message", "role": "user", "content": [{"content_type": "text", "text": self.prompt}]}]},
             "current_assistant_turn": turn, "current_diff_task_turn": None}
        if any(i["type"] in ("pr", "output_diff") for i in turn["output_items"]):
            o["current_diff_task_turn"] = turn
        return o


class Cloud:
    def __init__(self, data):
        self.lock = threading.Lock()
        self.data = data
        c = data.get("cloud") or {}
        self.token = c.get("token")
        self.prefix = c.get("task_prefix", "task_e_")
        self.envs = c.get("environments") or [{"id": "env-fake-1", "label": "acme/demo", "is_pinned": True, "task_count": 3}]
        self.templates = data.get("task") or [{"attempts": [{"files": {"hello.txt": "hello\n"}, "message": "Made hello.txt"}]}]
        self.faults = data.get("fault") or []
        self.reset()

    @classmethod
    def load(cls, path):
        with open(path, "rb") as f:
            raw = f.read()
        return cls(json.loads(raw) if path.endswith(".json") else tomllib.loads(raw.decode()))

    def reset(self):
        with self.lock:
            self.tasks, self.n, self.fault_counts, self.posts = [], 0, {}, []
            for t in self.data.get("existing") or []:
                self.n += 1
                self.tasks.append(Task(t.get("id") or f"{self.prefix}{self.n:08x}", t, t.get("prompt_text", t.get("title", "")),
                                       t.get("environment_id", self.envs[0]["id"]), t.get("branch", "main"),
                                       len(t.get("attempts") or [{}])))

    def owns(self, path):
        return bool(ROUTE.match(path)) or path == "/__cloud"

    def handle(self, method, path, query, raw, headers, h):
        """-> (status, JSON-able or bytes, headers).  Status 0: already over."""
        if path == "/__cloud":
            with self.lock:
                return 200, {"posts": self.posts, "tasks": [{"id": t.id, "polls": t.polls, "prompt": t.prompt, "env": t.env,
                             "branch": t.branch, "attempts": [self.brief(t, a) for a in t.attempts]} for t in self.tasks]}, ()
        for i, f in enumerate(self.faults):
            if not re.search(f.get("path", "."), path) or f.get("method", method) != method:
                continue
            with self.lock:
                self.fault_counts[i] = n = self.fault_counts.get(i, 0) + 1
            if f.get("times") and n > int(f["times"]):
                continue
            if "stall" in f:
                h.wait(float(f["stall"]))
            if f.get("reset"):
                h.hang_up(rst=True)
                return 0, None, ()
            if f.get("garbage"):
                return 200, random.Random(7).randbytes(300), ()
            if "status" in f:
                b = f.get("body", json.dumps({"detail": f"scripted {f['status']}"}))
                return int(f["status"]), b.encode(), [("Content-Type", f.get("content_type", "application/json"))]
        if self.token is not None and headers.get("authorization", "") != "Bearer " + self.token:
            return 401, {"detail": "Could not validate your token. Please try signing in again."}, ()
        rest = ROUTE.match(path).group(1).strip("/")
        with self.lock:
            return self.route(method, rest, query, raw)

    @staticmethod
    def brief(t, a):
        return {"turn": a["turn"], "status": t.status(a), "diff_bytes": len(t.diff(a))}

    def route(self, method, rest, query, raw):
        if method == "GET" and rest == "environments":
            return 200, [self.env_row(e) for e in self.envs], ()
        m = re.match(r"environments/by-repo/github/([^/]+)/([^/]+)$", rest)
        if m:
            return 200, [self.env_row(e) for e in self.envs if e.get("repo") == f"{m.group(1)}/{m.group(2)}"], ()
        if method == "POST" and rest == "tasks":
            return self.create(raw)
        if method == "GET" and rest == "tasks/list":
            one = {k: v[0] for k, v in query.items()}
            rows = [t for t in reversed(self.tasks) if not t.is_gone()
                    and one.get("environment_id") in (None, "", t.env)]
            start, limit = int(one.get("cursor") or 0), int(one.get("limit") or 20)
            page = rows[start:start + limit]
            for t in page:
                t.polls += 1
            return 200, {"items": [t.row(self.envs) for t in page],
                         "cursor": str(start + limit) if start + limit < len(rows) else None}, ()
        m = re.match(r"tasks/([^/]+)(?:/turns/([^/]+)/sibling_turns)?$", rest)
        if method == "GET" and m:
            t = next((x for x in self.tasks if x.id == m.group(1)), None)
            if t is None or t.is_gone():
                return 404, {"detail": "Task not found"}, ()
            if m.group(2) is None:
                t.polls += 1
                return 200, t.details(self.envs), ()
            return 200, {"sibling_turns": [t.turn(a) for a in t.attempts if a["turn"] != m.group(2)]}, ()
        if method == "GET" and rest in ("usage", "config/requirements"):
            return 200, {}, ()
        return 404, {"detail": "Not Found"}, ()

    @staticmethod
    def env_row(e):
        return {"id": e["id"], "label": e.get("label"), "is_pinned": e.get("is_pinned", False), "task_count": e.get("task_count", 0)}

    def create(self, raw):
        try:
            body = json.loads(raw)
            new = body["new_task"]
            env = new["environment_id"]
            text = "\n".join(c["text"] for it in body["input_items"] if it.get("type") == "message" for c in it["content"])
        except (ValueError, KeyError, TypeError) as e:
            return 422, {"detail": f"bad request: {e!r}"}, ()
        if env not in [e["id"] for e in self.envs]:
            return 404, {"detail": "Environment not found"}, ()
        n = int((body.get("metadata") or {}).get("best_of_n") or 1)
        sd = next((it["output_diff"]["diff"] for it in body["input_items"] if it.get("type") == "pre_apply_patch"), None)
        tpl = next((t for t in self.templates if t.get("prompt") and re.search(t["prompt"], text)),
                   next((t for t in self.templates if not t.get("prompt")), self.templates[0]))
        self.n += 1
        t = Task(f"{self.prefix}{self.n:08x}", tpl, text, env, new.get("branch"), n, sd)
        self.tasks.append(t)
        self.posts.append({"id": t.id, "env": env, "branch": new.get("branch"), "best_of_n": n, "prompt": text, "starting_diff": sd,
                           "qa_mode": new.get("run_environment_in_qa_mode")})
        return 200, {"task": t.row(self.envs), "user_turn": {"id": t.id + "~usrtrn_1"}, "turn": {"id": t.attempts[0]["turn"]}}, ()


def fake_auth(home):
    """A sign-in that never was: an unsigned token, ten years long."""
    def part(o):
        return base64.urlsafe_b64encode(json.dumps(o).encode()).rstrip(b"=").decode()
    jwt = ".".join([part({"alg": "none", "typ": "JWT"}), part({
        "email": "fake@example.invalid", "exp": int(time.time()) + 3650 * 86400,
        "https://api.openai.com/auth": {"chatgpt_plan_type": "pro", "chatgpt_user_id": "user-fake",
                                        "chatgpt_account_id": "acct-fake"}}), part({"fake": True})])
    os.makedirs(home, exist_ok=True)
    with open(os.path.join(home, "auth.json"), "w") as f:
        json.dump({"OPENAI_API_KEY": None, "tokens": {"id_token": jwt, "access_token": jwt, "refresh_token": "fake-refresh",
                   "account_id": "acct-fake"}, "last_refresh": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}, f)


def main():
    ap = argparse.ArgumentParser(description="Scripted Codex Cloud backend on 127.0.0.1 (see the top of this file).")
    ap.add_argument("--cloud")
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--port-file")
    ap.add_argument("--log")
    ap.add_argument("--fake-auth", metavar="CODEX_HOME")
    a = ap.parse_args()
    if a.fake_auth:
        fake_auth(a.fake_auth)
        return 0
    if not a.cloud:
        ap.error("--cloud is needed")
    import server
    argv = ["--cloud", a.cloud, "--port", str(a.port), "--quiet"]
    for k, v in (("--port-file", a.port_file), ("--log", a.log)):
        argv += [k, v] if v else []
    return server.main(argv)


if __name__ == "__main__":
    sys.exit(main())
