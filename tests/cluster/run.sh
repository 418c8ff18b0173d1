#!/bin/bash
# Run the tests' tiny workflow on a real SLURM, hinder it, and compare every result with a local run's.
#
#   tests/cluster/run.sh
#
# It sets up a SLURM of one node on this machine, and ends it and removes /etc/slurm/slurm.conf afterwards. It is no part
# of `make test`, because it needs root, a machine without a SLURM of its own, and the packages of Debian or Ubuntu:
#
#   apt-get install -y --no-install-recommends slurm-wlm munge
#
# Besides it needs `make setup` and the plugin of requirements-slurm.lock (see docs/cluster.md). It takes about ten minutes,
# two cores and 4 GB of memory. One after the other, it cancels a job, takes memory away from another, and kills
# Snakemake; the run must end with the same bytes as one that was left alone, and with nothing left to do.
. "$(dirname "${BASH_SOURCE[0]}")/one_node.sh"

# ---- the workflow, once here and once there ----------------------------------------------------------------------

step "a local run"
(cd "$WORK/here" && snakemake --cores 2 --configfile test.yaml 2>&1 | tail -n 4)

cd "$WORK/there"
COLUMNS_OF_JOBS="%.5i %.11T %.3C %.7m %.9l %k"
jobs() { squeue --states=all --sort=i -o "$COLUMNS_OF_JOBS"; }
# The ids of jobs in some states whose rule or group fits a pattern, the oldest first.
ids() { squeue -h --states="$1" --sort=i -o "%i %k" | awk -v rule="$2" '$2 ~ "^rule_(" rule ")" {print $1}'; }
field() { squeue -h --states=all -j "$1" -o "$2" | sed 's/\([0-9]\)M$/\1/'; } # JOB FORMAT
# The last job that is of the same rule, model and shard as this one, unless it is this one itself.
second() { squeue -h --states=all --sort=i -o "%i %k" |
    awk -v of="$1" -v what="$(field "$1" %k)" '$2 == what && $1 > of {print $1}' | tail -n 1; }
partition() { scontrol update partitionname=main state="$1"; }

step "the same run on SLURM, killed as soon as two shards are at work"
start
await 120 "the start of two jobs" '[ "$(ids RUNNING curves | wc -l)" = 2 ]'
jobs
kill -9 "$DRIVER"
wait "$DRIVER" 2>/dev/null || true
if snakemake --workflow-profile profiles/slurm --configfile test.yaml > refused.log 2>&1; then
    fail "a second start was not refused while jobs of the first were in the queue"
fi
grep "^error: jobs of an earlier start of this run are still in the queue" refused.log || fail "$(cat refused.log)"
await 600 "the end of the jobs in the queue" '[ -z "$(in_queue)" ]'

step "it is started again; when the next jobs are submitted, the partition is closed"
start
await 300 "the submission of a Jacobian" '[ -n "$(ids PENDING jacobian)" ]'
partition down
await 300 "the submission of two Jacobians" '[ "$(ids PENDING jacobian | wc -l)" -ge 2 ]'
{ read -r STARVED; read -r CANCELLED; } <<< "$(ids PENDING jacobian)"
ASKED=$(field "$STARVED" %m)
jobs

step "job $STARVED gets 400 MB in place of the $ASKED MB that it asked for, and job $CANCELLED is cancelled while it runs"
scontrol update jobid="$STARVED" MinMemoryNode=400
scontrol update jobid="$CANCELLED" Priority=1000000
scontrol update jobid="$STARVED" Priority=1000000
partition up
await 300 "the start of job $CANCELLED" '[ "$(field $CANCELLED %T)" = RUNNING ]'
sleep 3
scontrol show job "$CANCELLED" | grep -E "JobId|JobState|TimeLimit|NumCPUs|TRES=|MinCPUs|Comment"
scancel "$CANCELLED"

step "the job without memory is ended by SLURM, and both are submitted again"
await 300 "the second attempt of job $STARVED" '[ -n "$(second $STARVED)" ]'
await 300 "the second attempt of job $CANCELLED" '[ -n "$(second $CANCELLED)" ]'
AGAIN=$(second "$STARVED")
grep -h "exceeded memory limit" .snakemake/slurm_logs/rule_jacobian/*/"$STARVED".log
echo "job $STARVED: $(field "$STARVED" %T); its second attempt, job $AGAIN, asks for $(field "$AGAIN" %m) MB and $(field "$AGAIN" %l) minutes"
[ "$(field "$AGAIN" %m)" = $((2 * ASKED)) ] || fail "the second attempt should ask for $((2 * ASKED)) MB"
echo "job $CANCELLED: $(field "$CANCELLED" %T); its second attempt is job $(second "$CANCELLED")"
wait "$DRIVER" || { tail -n 40 driver.log; jobs; fail "the run on SLURM failed"; }
tail -n 1 driver.log

# ---- what has been asked for, and what has come out --------------------------------------------------------------

step "all jobs: number, state, CPUs, memory, time limit, rule or group"
jobs
OTHERS=$(squeue -h --states=all -o "%i %T" | awk -v a="$STARVED" -v b="$CANCELLED" '$2 != "COMPLETED" && $1 != a && $1 != b')
[ -z "$OTHERS" ] || fail "jobs that nobody hindered did not complete: $OTHERS"
# Two models in two shards.
[ "$(ids all curves | wc -l)" = 4 ] || fail "jobs that had completed when Snakemake was dead were submitted again"
[ "$(field "$AGAIN" %T)" = COMPLETED ] || fail "the second attempt of the job without memory did not complete"

step "results"
digests "$WORK/here" > "$WORK/here.txt"
digests "$WORK/there" > "$WORK/there.txt"
diff "$WORK/here.txt" "$WORK/there.txt" || fail "results differ from those of the local run"
TABLES=$(grep -c '\.parquet$' "$WORK/there.txt")
[ "$TABLES" -gt 0 ] || fail "there are no Parquet files"
echo "$TABLES Parquet files and $(($(wc -l < "$WORK/there.txt") - TABLES)) figures and other files are byte for byte those of the local run"
[ -s results/tiny/report/index.html ] || fail "there is no report"
for profile in slurm default; do
    snakemake -n --workflow-profile "profiles/$profile" --configfile test.yaml 2>&1 | grep "Nothing to be done" ||
        fail "after the run, $profile still finds something to do"
done
echo
echo "passed"
