#!/bin/bash
# Kill -9 at seeded moments of the tests' tiny workflow on a SLURM of one node; the same bytes must come out in the end.
#
#   tests/faults/slurm.sh [KILLS [SEED]]
#
# It needs what tests/cluster/run.sh needs (root, slurm-wlm, munge and the plugin of requirements-slurm.lock), and takes
# about ten minutes for six kills: of the process of a stage, of the Snakemake inside a job, and of the one that submits.
. "$(dirname "${BASH_SOURCE[0]}")/../cluster/one_node.sh"

KILLS=${1:-6}
RANDOM=${2:-0}
KINDS=("a stage's process" "Snakemake in a job" "the driver")

step "a local run"
(cd "$WORK/here" && snakemake --cores 2 --configfile test.yaml 2>&1 | tail -n 1)
digests "$WORK/here" > "$WORK/here.txt"
cd "$WORK/there"

# The processes of the jobs whose command line has a text.
of_jobs() {
    local entry
    for entry in /proc/[0-9]*; do
        [ "${entry#/proc/}" != "${DRIVER:-}" ] || continue
        [ "$(readlink "$entry/cwd" 2>/dev/null)" = "$WORK/there" ] || continue
        tr '\0' ' ' 2>/dev/null < "$entry/cmdline" | grep -q -e "$1" && echo "${entry#/proc/}"
    done
    return 0
}
# Like digests, while there are not all results yet.
so_far() {
    mkdir -p results/tiny/data
    (cd results/tiny && find data figures claims.md claims.json -type f ! -name '.*' 2>/dev/null || true) |
        (cd results/tiny && sort | xargs -r sha256sum)
}
alive() { [ -n "$DRIVER" ] && kill -0 "$DRIVER" 2>/dev/null; }
# Start Snakemake if it has ended, once no job of an earlier start is in the queue.
go_on() {
    alive && return
    await 600 "the end of the jobs in the queue" '[ -z "$(in_queue)" ]'
    start
}

step "$KILLS times kill -9"
declare -A TRIED
DONE=0
for _ in $(seq $((3 * KILLS))); do
    [ "$DONE" -lt "$KILLS" ] || break
    KIND=${KINDS[$((RANDOM % ${#KINDS[@]}))]}
    WAIT=$((RANDOM % 12)).$((RANDOM % 10))
    go_on
    await 300 "the start of a job" '[ -n "$(of_jobs plateaus.run.warm)" ] || ! alive'
    sleep "$WAIT"
    alive || { wait "$DRIVER" && break; continue; }  # the run has ended, well or because of an earlier kill
    case $KIND in
        "a stage's process") PIDS_HIT=$(of_jobs "-m plateaus[.]") ;;
        "Snakemake in a job") PIDS_HIT=$(of_jobs "-m snakemake") ;;
        *) PIDS_HIT=$DRIVER ;;
    esac
    [ -n "$PIDS_HIT" ] || continue
    kill -9 "${PIDS_HIT%%$'\n'*}" 2>/dev/null || continue
    DONE=$((DONE + 1))
    TRIED[$KIND]=$((${TRIED[$KIND]:-0} + 1))
    echo "$KIND, $WAIT s after a job had begun; $(so_far | wc -l) results by then"
    # What has its final name by now must be what it is in the end.
    LOST=$(so_far | { grep -vxFf "$WORK/here.txt" || true; })
    [ -z "$LOST" ] || fail "results differ after this kill: $LOST"
done

step "the same command until it is done"
for _ in 1 2 3; do
    go_on
    wait "$DRIVER" && break
    tail -n 3 driver.log
done
tail -n 1 driver.log
DRIVER=
digests "$WORK/there" > "$WORK/there.txt"
diff "$WORK/here.txt" "$WORK/there.txt" || fail "results differ from those of the local run"
snakemake -n --workflow-profile profiles/slurm --configfile test.yaml 2>&1 | grep "Nothing to be done" ||
    fail "there is still something to do"

echo
printf '%-30s tried  recovered  lost\n' "kill -9 on SLURM of"
for KIND in "${!TRIED[@]}"; do printf '  %-28s %5d  %9d  %4d\n' "$KIND" "${TRIED[$KIND]}" "${TRIED[$KIND]}" 0; done
echo "$(wc -l < "$WORK/there.txt") results are byte for byte those of the local run"
