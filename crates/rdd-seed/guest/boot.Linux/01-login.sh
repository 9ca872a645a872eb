#!/bin/sh
# Sees to it that the user can log in with the keys of this boot, whatever cloud-init did at an
# earlier one.
set -eu
# The default shell, where a distribution has no bash: its own shell does for most scripts.
if [ ! -e /bin/bash ]; then
  printf '#!/bin/sh\nexec /bin/sh "$@"\n' >/bin/bash.tmp
  chmod 755 /bin/bash.tmp
  mv /bin/bash.tmp /bin/bash
fi

# A locked password locks an sshd without PAM; one that nothing matches does not.
if [ "$(sed -n "s/^$LIMA_CIDATA_USER:\(!!*\):.*/locked/p" /etc/shadow)" = locked ]; then
  sed -i "s/^$LIMA_CIDATA_USER:!!*:/$LIMA_CIDATA_USER:*:/" /etc/shadow
fi

keys=$LIMA_CIDATA_HOME/.ssh/authorized_keys
if [ ! -d "${keys%/*}" ]; then
  mkdir -p "${keys%/*}"
  chmod 700 "${keys%/*}"
  chown "$LIMA_CIDATA_UID" "${keys%/*}"
fi
if [ ! -e "$keys" ]; then
  : >"$keys"
  chmod 600 "$keys"
  chown "$LIMA_CIDATA_UID" "$keys"
fi
while IFS= read -r key; do
  [ -z "$key" ] || grep -qxF "$key" "$keys" || printf '%s\n' "$key" >>"$keys"
done <"$LIMA_CIDATA_MNT/ssh_authorized_keys"
