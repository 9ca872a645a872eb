# Reads NoCloud meta-data and user-data (the YAML that rdd-seed and people write) and prints shell
# assignments. Writes /run/keys, write_files, /run/bootcmd.d and /run/runcmd.d.
#
# Understood: local-hostname, hostname, ssh_authorized_keys, users (the first that is not "default":
# name, uid, homedir, keys), write_files (path, permissions, encoding b64, content plain or as a
# block), bootcmd and runcmd (plain items, and blocks of "- |").
function trim(s) { sub(/^[ \t]+/, "", s); sub(/[ \t\r]+$/, "", s); return s }
function strip(s,  out, i, c) {
  s = trim(s)
  if (s ~ /^'.*'$/) return substr(s, 2, length(s) - 2)
  if (s !~ /^".*"$/) return s
  s = substr(s, 2, length(s) - 2)
  for (i = 1; i <= length(s); i++) {
    c = substr(s, i, 1)
    if (c == "\\") { c = substr(s, ++i, 1); if (c == "n") c = "\n"; else if (c == "t") c = "\t" }
    out = out c
  }
  return out
}
function q(s) { gsub(/'/, "'\\''", s); return "'" s "'" }
function dir(p) { sub(/\/[^\/]*$/, "", p); return p == "" ? "/" : p }
function indent(s) { match(s, /^ */); return RLENGTH }
function value(s) { sub(/^[^:]*:/, "", s); return strip(s) }
function flush_file(  cmd) {
  if (wpath != "") {
    system("mkdir -p " q(dir(wpath)))
    if (enc ~ /b64|base64/) { cmd = "base64 -d >" q(wpath); printf "%s", body | cmd; close(cmd) }
    else { printf "%s", body > wpath; close(wpath) }
    if (perm != "") system("chmod " perm " " q(wpath))
  }
  wpath = body = perm = enc = ""
}
function flush_command(  f) {
  if (incmd) { f = "/run/" sect ".d/" (100 + ++ncmd); print "#!/bin/sh\n" body > f; close(f) }
  incmd = 0; body = ""
}
function finish() { if (sect == "write_files") flush_file(); else flush_command() }
BEGIN { system("mkdir -p /run/bootcmd.d /run/runcmd.d; : >/run/keys") }
FNR == 1 { finish(); sect = ""; keys = block = 0 }
{
  line = $0; ind = indent(line)
  if (block) {
    if (line ~ /^[ \t]*$/) { body = body "\n"; next }
    if (ind > blockind) { if (!cut) cut = ind; body = body substr(line, cut + 1) "\n"; next }
    block = 0
  }
  if (line ~ /^[ \t]*(#|$)/) next
  if (ind == 0 && line !~ /^-/) {
    finish(); keys = 0; sect = line; sub(/:.*/, "", sect); val = value(line)
    if (sect == "local-hostname" || sect == "hostname") host = val
    if (sect ~ /^ssh[_-]authorized[_-]keys$/) keys = 1
    next
  }
  t = trim(line)
  if (keys && t ~ /^- *["']?(ssh-|ecdsa-|sk-)/) { sub(/^- */, "", t); print strip(t) >> "/run/keys"; next }
  if (sect == "users") {
    if (t ~ /^- /) { sub(/^- */, "", t); if (t ~ /^(\[|default)/) next; nuser++ }
    k = t; sub(/:.*/, "", k); k = strip(k); v = value(t); keys = 0
    if (k ~ /^ssh[_-]authorized[_-]keys$/) keys = 1
    else if (nuser == 1 && k == "name") name = v
    else if (nuser == 1 && k == "uid") uid = v
    else if (nuser == 1 && k == "homedir") home = v
    next
  }
  if ((sect == "runcmd" || sect == "bootcmd") && t ~ /^- /) {
    flush_command(); incmd = 1; sub(/^- */, "", t)
    if (t ~ /^[|>]/) { block = 1; blockind = ind; cut = 0 } else body = strip(t)
    next
  }
  if (sect == "write_files") {
    if (t ~ /^- /) { flush_file(); ind += 2; sub(/^- */, "", t) }
    k = t; sub(/:.*/, "", k); k = strip(k); v = value(t)
    if (k == "path") wpath = v
    else if (k == "permissions") perm = v
    else if (k == "encoding") enc = v
    else if (k == "content") { if (v ~ /^[|>]/) { block = 1; blockind = ind; cut = 0; body = "" } else body = v }
  }
}
END {
  finish()
  if (host != "") print "HOSTNAME=" q(host)
  if (name != "") print "NAME=" q(name)
  if (uid != "") print "USER_UID=" q(uid)
  if (home != "") print "HOMEDIR=" q(home)
}
