#!/bin/sh
# Makes the guest ready, at every boot, as root. Leaves three marks for the host:
#   /run/lima-ssh-ready      the token of this boot, when logins are set up
#   /run/lima-boot-failures  "EXIT-CODE SCRIPT" for each script that failed
#   /run/lima-boot-done      the token of this boot, when all has run, failures or not
# A script that fails does not stop those after it.
set -u
PATH=${PATH:-/usr/sbin:/usr/bin:/sbin:/bin}
LIMA_CIDATA_MNT=${LIMA_CIDATA_MNT:-/mnt/lima-cidata}
export PATH LIMA_CIDATA_MNT
seed=$LIMA_CIDATA_MNT
code=0

log() { echo "lima: $*"; }

# mark FILE writes the token of this boot, whole or not at all.
mark() { printf '%s\n' "$LIMA_CIDATA_IID" >"$1.tmp" && chmod 644 "$1.tmp" && mv "$1.tmp" "$1"; }

# attempt NAME COMMAND... runs a command and notes its failure.
attempt() {
  name=$1
  shift
  log "running $name"
  "$@" </dev/null
  status=$?
  [ $status -eq 0 ] && return 0
  code=1
  log "failed: $name (exit code $status)"
  echo "$status $name" >>/run/lima-boot-failures
  return "$status"
}

# read_settings FILE exports KEY=value lines as they are: no shell reads the values.
read_settings() {
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      '' | '#'*) ;;
      [A-Za-z_]*=*)
        case ${line%%=*} in
          *[!A-Za-z0-9_]*) ;;
          *) export "${line%%=*}=${line#*=}" ;;
        esac
        ;;
    esac
  done <"$1"
}

# get NAME prints the value of a variable whose name is made at run time.
get() { eval "printf %s \"\${$1-}\""; }

# as_user USER COMMAND... runs a command as another user.
as_user() {
  as=$1
  shift
  if command -v sudo >/dev/null 2>&1; then sudo -u "$as" "$@"; else su "$as" -s /bin/sh -c '"$@"' sh "$@"; fi
}

data_file() {
  path=$(get "LIMA_CIDATA_DATAFILE_$1_PATH")
  owner=$(get "LIMA_CIDATA_DATAFILE_$1_OWNER")
  if [ -e "$path" ] && [ "$(get "LIMA_CIDATA_DATAFILE_$1_OVERWRITE")" = false ]; then return 0; fi
  directory=${path%/*}
  # Directories in a user's home should be theirs; elsewhere they may not make any.
  if [ -n "$directory" ] && [ ! -d "$directory" ]; then
    as_user "${owner%%:*}" mkdir -p "$directory" 2>/dev/null || mkdir -p "$directory" || return 1
  fi
  cp "$seed/provision.data/$1" "$path" && chown "$owner" "$path" &&
    chmod "$(get "LIMA_CIDATA_DATAFILE_$1_PERMISSIONS")" "$path"
}

edit_file() {
  path=$(get "LIMA_CIDATA_YQ_PROVISION_$1_PATH")
  format=$(get "LIMA_CIDATA_YQ_PROVISION_$1_FORMAT")
  if ! command -v yq >/dev/null 2>&1; then log "yq is not installed"; return 127; fi
  [ -e "$path" ] || { mkdir -p "${path%/*}" && : >"$path"; } || return 1
  yq -i -p "$format" -o "$format" --from-file "$seed/provision.yq/$1" "$path" &&
    chown "$(get "LIMA_CIDATA_YQ_PROVISION_$1_OWNER")" "$path" &&
    chmod "$(get "LIMA_CIDATA_YQ_PROVISION_$1_PERMISSIONS")" "$path"
}

user_script() {
  params=$(sed -n 's/^\(PARAM_[A-Za-z0-9_]*\)=.*/\1/p' "$seed/param.env" | tr '\n' ',')
  runtime=/run/user/$LIMA_CIDATA_UID
  script=$LIMA_CIDATA_HOME/.lima-user-script
  cp "$1" "$script" && chown "$LIMA_CIDATA_USER" "$script" && chmod 755 "$script" || return 1
  if command -v sudo >/dev/null 2>&1; then
    # -i and -u apart: the small sudo of a small guest reads no bundles.
    sudo -i -u "$LIMA_CIDATA_USER" --preserve-env="${params}XDG_RUNTIME_DIR" XDG_RUNTIME_DIR="$runtime" "$script"
  else
    XDG_RUNTIME_DIR=$runtime su "$LIMA_CIDATA_USER" -s /bin/sh -c 'cd "$HOME" && exec "$0"' "$script"
  fi
  status=$?
  rm -f "$script"
  return "$status"
}

# A user's services can only be reached when their systemd is up.
start_user_session() {
  [ -d /run/systemd/system ] || return 0
  systemctl start "user@$LIMA_CIDATA_UID.service"
}

rm -f /run/lima-boot-done /run/lima-ssh-ready
: >/run/lima-boot-failures
chmod 644 /run/lima-boot-failures
read_settings "$seed/lima.env"
read_settings "$seed/param.env"
read_settings "$seed/etc_environment"
[ "$LIMA_CIDATA_DEBUG" = true ] && set -x

if [ "$LIMA_CIDATA_PLAIN" != 1 ]; then
  for script in "$seed"/boot.Linux/*.sh; do
    attempt "boot.Linux/${script##*/}" /bin/sh "$script"
  done
fi
# One of those leaves the mark as soon as logins are set up. A guest with none is as ready as it gets.
[ -e /run/lima-ssh-ready ] || mark /run/lima-ssh-ready

for file in "$seed"/provision.data/*; do
  [ -f "$file" ] && attempt "provision.data/${file##*/}" data_file "${file##*/}"
done
for file in "$seed"/provision.yq/*; do
  [ -f "$file" ] && attempt "provision.yq/${file##*/}" edit_file "${file##*/}"
done
for file in "$seed"/provision.system/*; do
  [ -f "$file" ] && attempt "provision.system/${file##*/}" "$file"
done
if [ -d "$seed/provision.user" ]; then
  start_user_session || log "the session of $LIMA_CIDATA_USER cannot be started"
  for file in "$seed"/provision.user/*; do
    [ -f "$file" ] && attempt "provision.user/${file##*/}" user_script "$file"
  done
fi

mark /run/lima-boot-done
log "boot done"
exit $code
