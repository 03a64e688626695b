#!/usr/bin/env python3
"""A stand-in `codex` that speaks the OTHER `codex cloud` dialect.

A fork of the CLI has a headless dialect (new / list / show / diff /
export / apply with --variant).  No binary of it is published, so this program
answers in its place, from a cloud.py backend.  It is a stand-in: only its
command line and its JSON follow the fork, nothing else is proven by it.

  headless.py [--version]
  headless.py cloud new --title T (--prompt P | --prompt-file F) [--env E]
                          [--base B] [--best-of N]           -> prints task_id
  headless.py cloud list [--json]
  headless.py cloud show ID [--variant N | --all] [--json]
  headless.py cloud diff ID [--variant N]
  headless.py cloud export ID [--variant N | --all] [--dir D | --out D]
                          -> D/varN/patch.diff, report.json, meta.json
  headless.py cloud apply ID --variant N [--preflight]

CODEX_CLOUD_TASKS_BASE_URL must be http://127.0.0.1:...; nothing else is asked.
FORK_FLAGS=doc (as first described: --out, no --title) or =pr (as the
fork's source has it: --dir, --title needed, no --preflight); else both.
Variant numbers are the true attempt numbers, a failed one keeps its place.
"""
import argparse
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import datetime, timezone

FLAGS = os.environ.get("FORK_FLAGS", "both")


def fail(text, code=1):
    print(f"Error: {text}", file=sys.stderr)
    raise SystemExit(code)


def save(path, text):
    with open(path, "w") as f:
        f.write(text)


def call(path, body=None):
    base = os.environ.get("CODEX_CLOUD_TASKS_BASE_URL", "")
    if not base.startswith("http://127.0.0.1:"):
        fail("CODEX_CLOUD_TASKS_BASE_URL must be http://127.0.0.1:PORT/...")
    req = urllib.request.Request(f"{base.rstrip('/')}/wham/{path}", data=None if body is None else json.dumps(body).encode(),
                                 headers={"Content-Type": "application/json", "User-Agent": "codex_cloud_headless"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(req, timeout=60) as r:
            return json.loads(r.read())
    except urllib.error.HTTPError as e:
        fail(f"{req.get_method()} {path} failed: {e.code}; body={e.read().decode('utf-8', 'replace')}")
    except (OSError, ValueError) as e:
        fail(f"{req.get_method()} {path} failed: {e}")


def status_of(display):
    s = ((display or {}).get("latest_turn_status_display") or {}).get("turn_status")
    return {"failed": "error", "cancelled": "error", "completed": "ready"}.get(s, (display or {}).get("state") or "pending")


def summary(row):
    d = row.get("task_status_display") or {}
    lt = d.get("latest_turn_status_display") or {}
    ds = lt.get("diff_stats") or {}
    return {"id": row["id"], "title": row["title"], "status": status_of(d), "updated_at": datetime.fromtimestamp(row.get("updated_at") or 0, timezone.utc).isoformat().replace("+00:00", "Z"),
            "environment_id": None, "environment_label": d.get("environment_label"),
            "summary": {"files_changed": ds.get("files_modified", 0), "lines_added": ds.get("lines_added", 0),
                        "lines_removed": ds.get("lines_removed", 0)},
            "is_review": False, "attempt_total": len(lt.get("sibling_turn_ids") or []) + 1}


def variants(tid):
    d = call(f"tasks/{tid}")
    cur = d["current_assistant_turn"]
    prompt = d["current_user_turn"]["input_items"][0]["content"][0]["text"]
    turns = [cur] + call(f"tasks/{tid}/turns/{cur['id']}/sibling_turns")["sibling_turns"]
    out = []
    for t in sorted(turns, key=lambda t: t["attempt_placement"]):
        diff = next((i.get("diff") or (i.get("output_diff") or {}).get("diff") for i in t["output_items"]
                     if i["type"] in ("pr", "output_diff")), None)
        out.append({"variant_index": t["attempt_placement"] + 1, "is_base": t["id"] == cur["id"],
                    "attempt_placement": t["attempt_placement"], "status": t["turn_status"], "diff": diff,
                    "messages": [c["text"] for i in t["output_items"] if i["type"] == "message" for c in i["content"]],
                    "prompt": prompt, "turn_id": t["id"], **({"error": t["error"]} if "error" in t else {})})
    return d, out


def pick(vs, a):
    if getattr(a, "all", False):
        return vs
    n = a.variant or 1
    got = [v for v in vs if v["variant_index"] == n]
    if not got:
        fail(f"Variant {n} not found; task has {len(vs)} variant(s)")
    return got


def main():
    if sys.argv[1:] == ["--version"]:
        print("codex-cli 0.0.0-fork-stand-in")
        return 0
    ap = argparse.ArgumentParser(prog="codex cloud")
    ap.add_argument("cloud", choices=["cloud"])
    sub = ap.add_subparsers(dest="cmd", required=True)
    p = sub.add_parser("new")
    p.add_argument("--title", required=FLAGS == "pr")
    g = p.add_mutually_exclusive_group(required=True)
    g.add_argument("--prompt")
    g.add_argument("--prompt-file")
    p.add_argument("--env")
    p.add_argument("--base", default="main")
    p.add_argument("--best-of", type=int, default=1)
    p = sub.add_parser("list")
    p.add_argument("--json", action="store_true")
    for name in ("show", "diff", "export", "apply"):
        p = sub.add_parser(name)
        p.add_argument("task_id")
        p.add_argument("--variant", type=int)
        if name in ("show", "export"):
            p.add_argument("--all", action="store_true")
        if name == "show":
            p.add_argument("--json", action="store_true")
        if name == "export" and FLAGS != "doc":
            p.add_argument("--dir")
        if name == "export" and FLAGS != "pr":
            p.add_argument("--out", dest="dir")
        if name == "apply" and FLAGS != "pr":
            p.add_argument("--preflight", action="store_true")
    a = ap.parse_args()
    if a.cmd == "new":
        envs = call("environments")
        env = next((e["id"] for e in envs if a.env in (None, e["id"], e.get("label"))), None)
        if env is None:
            fail(f"environment '{a.env}' not found")
        prompt = a.prompt
        if prompt is None:
            with open(a.prompt_file) as f:
                prompt = f.read()
        body = {"new_task": {"environment_id": env, "branch": a.base, "run_environment_in_qa_mode": False},
                "input_items": [{"type": "message", "role": "user", "content": [{"content_type": "text", "text": prompt}]}]}
        if a.best_of > 1:
            body["metadata"] = {"best_of_n": a.best_of}
        print(call("tasks", body)["task"]["id"])
    elif a.cmd == "list":
        page = call("tasks/list?limit=50&task_filter=current")
        rows = [summary(r) for r in page["items"]]
        if a.json:
            print(json.dumps({"tasks": rows, "truncated": False, "sort": "updated_at:desc", "pages": 1}, indent=2))
        else:
            for r in rows:
                print(f"{r['id']}  {r['status']:<7}  {r['title']}")
    else:
        d, vs = variants(a.task_id)
        got = pick(vs, a)
        if a.cmd == "show" and a.json:
            print(json.dumps({"task_id": a.task_id, "summary": summary(d["task"]), "task": None, "attempt_total": len(vs),
                              "variants": got}, indent=2))
        elif a.cmd == "show":
            print(f"Task {a.task_id} — {d['task']['title']} [{summary(d['task'])['status']}]")
            for v in got:
                print(f"Variant {v['variant_index']}: {v['status']}, {'diff' if v['diff'] else 'no diff'}")
        elif a.cmd == "diff":
            if not got[0]["diff"]:
                fail(f"Variant {got[0]['variant_index']} has no diff")
            sys.stdout.write(got[0]["diff"])
        elif a.cmd == "export":
            for v in got:
                if not v["diff"]:
                    fail(f"Variant {v['variant_index']} has no diff to export")
                to = os.path.join(a.dir or ".", f"var{v['variant_index']}")
                os.makedirs(to, exist_ok=True)
                save(os.path.join(to, "patch.diff"), v["diff"])
                report = {"task_id": a.task_id, **{k: v[k] for k in ("variant_index", "status", "attempt_placement", "prompt", "messages")}}
                save(os.path.join(to, "report.json"), json.dumps(report, indent=2))
                save(os.path.join(to, "meta.json"), json.dumps({"task_id": a.task_id, "turn_id": v["turn_id"]}))
                print(f"Wrote variant {v['variant_index']} files to {to}")
        else:
            if not got[0]["diff"]:
                fail(f"Variant {got[0]['variant_index']} has no diff to apply")
            check = ["--check"] if getattr(a, "preflight", False) else []
            r = subprocess.run(["git", "apply", *check], input=got[0]["diff"].encode(), stderr=subprocess.PIPE)
            if r.returncode:
                fail(f"Preflight failed for variant {got[0]['variant_index']}: {r.stderr.decode('utf-8', 'replace').strip()}")
            print(f"{'Preflight passed for' if check else 'Applied'} variant {got[0]['variant_index']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
