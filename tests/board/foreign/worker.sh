#!/bin/sh
# A worker of a stage written from docs/reference/board.md alone: POSIX sh, awk and coreutils.
# usage: worker.sh BOARD PROCESSING STAGE BUCKET NEXT_BUCKET STAGE_BEFORE ATTEMPTS
set -u
board=$1 processing=$2 stage=$3 in=$1/$4 next=$1/$5 before=$6 attempts=$7
worker="$stage-sh-$$-$(od -An -N6 -tx1 /dev/urandom | tr -d ' ')"
beat=$board/workers/$worker.json

append() { # BARCODE EVENT [MEMBERS]: one line, one write, durable; a torn line before it is closed off
  story=$(story "$1") torn=
  mkdir -p "${story%/*}"
  [ -s "$story" ] && [ -n "$(tail -c 1 "$story")" ] && torn='\n'
  line="{\"time\": \"$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)\", \"event\": \"$2\", \"stage\": \"$stage\", \"worker\": \"$worker\""
  printf "$torn%s\n" "$line, \"claim\": \"$worker.$n\", \"attempt\": $attempt${3:-}}" >>"$story" && sync "$story"
}
story() { # BARCODE: its ledger's path
  echo "$board/ledger/$(printf %s "$1" | tail -c 3)/$1.jsonl"
}
count() { # BARCODE: how many attempts of this stage count
  [ -f "$(story "$1")" ] || { echo 0; return; }
  awk -v stage="$stage" '
    function member(name) { return match($0, "\"" name "\": *\"[^\"]*\"") ? substr($0, RSTART, RLENGTH) : "" }
    function value(text) { sub(/^"[a-z]*": *"/, "", text); sub(/"$/, "", text); return text }
    { event = value(member("event")); ours = value(member("stage")) == stage; claim = value(member("claim")) }
    event == "returned" { gone[claim] = 1; next }
    claim != "" && claim in gone { next }
    event ~ /^(registered|retried|released)$/ || (ours && event ~ /^(done|redo|failed)$/) { c = 0 }
    ours && event == "attempt" { c++ }
    ours && event ~ /^(halted|handed_back)$/ && c > 0 { c-- }
    END { print c + 0 }' "$(story "$1")"
}
move() { # BARCODE FOLDER: the claim goes there, if it is still ours and no other token lies there
  [ -e "$2/$1.json" ] && return 1
  touch -c "$claim" && mv -T "$claim" "$2/$1.json" 2>/dev/null && sync "$2" "$in/working"
}
fail() { # BARCODE REASON
  append "$1" failed ", \"reason\": \"$2\""
  move "$1" "$in/failed" || move "$1" "$in/held"
}
make() { # BARCODE: what this stage is for; publishes by one rename
  book=$processing/$1 scratch=$processing/$1/.scratch/$worker.$n
  [ -d "$book/$stage" ] && return 0
  [ -d "$book/$before" ] || { fail "$1" "Nothing of $before is left."; return 1; }
  mkdir -p "$scratch" && cp -l "$book/$before/"* "$scratch/" && echo "sh was here" >"$scratch/sh.txt" || return 1
  sync "$scratch"/* "$scratch"
  [ -e "$claim" ] && append "$1" done && [ -e "$claim" ] && mv -T "$scratch" "$book/$stage" && sync "$book" "$processing"
}
tidy() { # BARCODE: only now what this stage has read goes
  gone=$processing/$1/.scratch/gone-$worker.$n
  mkdir -p "${gone%/*}" && mv -T "$processing/$1/$before" "$gone" 2>/dev/null
  sync "$processing/$1"; rm -rf "$gone"; rmdir "${gone%/*}" 2>/dev/null
}
attempt_on() { # BARCODE: from the claimed token to the next bucket
  attempt=$(($(count "$1") + 1))
  { [ -f "$claim" ] && [ ! -L "$claim" ] && grep -q "\"barcode\": *\"$1\"" "$claim"; } || { fail "$1" "No token."; return; }
  [ "$attempt" -le "$attempts" ] || { fail "$1" "The worker died $attempts times over this book."; return; }
  append "$1" attempt
  if make "$1" && move "$1" "$next"; then tidy "$1"; fi
}
take() { # FILE: claim it by one rename; a loser goes on
  barcode=${1##*/} barcode=${barcode%.json} n=$((n + 1))
  case $barcode in '*' | .* | *[!A-Za-z0-9._$-]*) return ;; esac
  claim=$in/working/$barcode~$worker.$n.json
  mv -T "$1" "$claim" 2>/dev/null && attempt_on "$barcode"
}

n=0 stop=
trap 'stop=1' TERM INT
printf '{"worker": "%s", "stage": "%s", "pid": %s}\n' "$worker" "$stage" "$$" >"$board/seeding/.$worker"
sync "$board/seeding/.$worker" && mv -T "$board/seeding/.$worker" "$beat"
(while kill -0 $$ 2>/dev/null; do touch -c "$beat"; sleep 0.3; done) &
while [ -z "$stop" ]; do
  for file in "$in"/*.json "$in"/deferred/*.json; do
    [ -n "$stop" ] || [ -e "$board/paused/$stage" ] && break
    case $file in */deferred/*) [ "$file" -ot "$beat" ] || continue ;; esac
    take "$file"
  done
  sleep 0.1
done
kill $! 2>/dev/null
rm -f "$beat"
