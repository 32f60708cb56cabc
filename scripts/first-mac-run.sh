#!/bin/sh
# Runs every command of docs/not-yet-on-a-mac.md, in its order, and writes one report: what held, what did not, and what each
# printed. Exit code 1 when something did not hold. For a Mac; --claims and --out name another list and place.
set -u
cd "$(dirname "$0")/.." || exit 1

claims=docs/not-yet-on-a-mac.md
out=dist/first-mac-run
while [ $# -gt 0 ]; do
  case "$1" in
    --claims) claims=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    *) echo "Unknown option \"$1\": there are --claims FILE and --out DIR" >&2 && exit 2 ;;
  esac
done
if [ "$claims" = docs/not-yet-on-a-mac.md ] && [ "$(uname -s)" != Darwin ]; then
  echo "Cannot show here what only a Mac can show" >&2
  exit 5
fi

mkdir -p "$out" || exit 1
PATH="$PWD/node_modules/.bin:$PWD/dist:$PATH"
export PATH
report=$out/report.md
rows=$out/rows.txt
held=0
failed=0

# A table's row: what it claims, the command between backticks, and between backticks what must be printed, if anything.
awk -F ' *[|] *' '
  NF >= 6 && $4 ~ /^`.*`$/ {
    command = substr($4, 2, length($4) - 2)
    prints = $5 ~ /^`.*`$/ ? substr($5, 2, length($5) - 2) : ""
    printf "%s\t%s\t%s\n", $2, command, prints
  }
' "$claims" > "$rows"
if [ ! -s "$rows" ]; then
  echo "Cannot find a command in $claims" >&2
  exit 1
fi

{
  echo "# First run on a Mac"
  echo
  echo "$(date -u +%Y-%m-%dT%H:%M:%SZ), $(uname -sm), commit $(git rev-parse HEAD 2>/dev/null || echo unknown)"
  if [ "$(uname -s)" = Darwin ]; then
    echo
    echo '```'
    sw_vers
    sysctl -n machdep.cpu.brand_string hw.model
    echo '```'
  fi
} > "$report"

number=0
tab=$(printf '\t')
while IFS="$tab" read -r what command prints; do
  number=$((number + 1))
  log=$out/$number.txt
  printf '%s … ' "$what"
  started=$(date +%s)
  sh -c "$command" < /dev/null > "$log" 2>&1
  status=$?
  seconds=$(($(date +%s) - started))
  if [ "$status" -ne 0 ]; then
    verdict="failed: exit code $status"
  elif [ -n "$prints" ] && ! grep -qF -- "$prints" "$log"; then
    verdict="failed: it does not print \"$prints\""
  else
    verdict=holds
  fi
  if [ "$verdict" = holds ]; then held=$((held + 1)); else failed=$((failed + 1)); fi
  echo "$verdict ($seconds s)"
  {
    echo
    echo "## $number. $what: $verdict"
    echo
    echo "\`$command\`, $seconds s"
    echo
    echo '````'
    tail -n 60 "$log"
    echo '````'
  } >> "$report"
done < "$rows"
rm -f "$rows"

{
  echo
  echo "$held held, $failed failed"
} >> "$report"
echo "$held held, $failed failed: $report"
[ "$failed" -eq 0 ]
