#!/bin/bash
# Set up a SLURM of one node on this machine, and two copies of the tests' tiny project, `here` and `there`.
#
# This is sourced by the tests that need a SLURM: run.sh beside it, and tests/faults/slurm.sh, which say what they need.
# It gives them ROOT, WORK, DRIVER and some functions; when they exit, the SLURM ends and its configuration is removed.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
fail() { echo "error: $*" >&2; exit 1; }
step() { echo; echo "== $*"; }

[ "$(id -u)" = 0 ] || fail "this test starts SLURM's daemons, which needs root"
for program in slurmctld slurmd munged squeue scontrol; do
    command -v "$program" >/dev/null || PATH=$PATH:/usr/sbin command -v "$program" >/dev/null ||
        fail "$program is missing: apt-get install -y --no-install-recommends slurm-wlm munge"
done
export PATH=$ROOT/.venv/bin:$PATH:/usr/sbin
CONF=/etc/slurm/slurm.conf  # the only place where each of SLURM's programs looks by itself
[ ! -e $CONF ] || fail "$CONF exists: this test sets up a SLURM of its own and must not disturb another"
python -c 'import snakemake_executor_plugin_slurm' 2>/dev/null ||
    fail "the plugin is missing: .venv/bin/pip install --no-deps --require-hashes -r requirements-slurm.lock"

WORK=$(mktemp -d)
PIDS=()  # the daemons
DRIVER=  # Snakemake
finish() {
    local status=$?
    trap - EXIT INT TERM
    [ -z "$DRIVER" ] || kill -9 "$DRIVER" 2>/dev/null || true
    scancel --user=root 2>/dev/null || true
    sleep 2
    rm -f $CONF
    for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    if [ $status = 0 ]; then rm -rf "$WORK"; else echo "left for inspection: $WORK" >&2; fi
    exit $status
}
trap finish EXIT INT TERM

# ---- a SLURM of one node ---------------------------------------------------------------------------------------

step "set up SLURM $(slurmctld -V | cut -d' ' -f2) on $(nproc) CPUs"
SLURM=$WORK/slurm
mkdir -p "$SLURM"/{state,spool,munge}
chmod 755 "$WORK" "$SLURM"
chmod 711 "$SLURM/munge"
head -c 1024 /dev/urandom > "$SLURM/munge/key"
chmod 400 "$SLURM/munge/key"
HOST=$(hostname -s)
cat > $CONF <<EOF
ClusterName=one
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$SLURM/munge/socket
StateSaveLocation=$SLURM/state
SlurmdSpoolDir=$SLURM/spool
SlurmctldPidFile=$SLURM/slurmctld.pid
SlurmdPidFile=$SLURM/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MinJobAge=7200
AccountingStorageType=accounting_storage/none
# A job that takes more memory than it has asked for is ended.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=2 RealMemory=12000
PartitionName=main Nodes=$HOST Default=YES DefMemPerCPU=1000 MaxTime=1-00:00:00
EOF
munged --foreground --force --socket="$SLURM/munge/socket" --key-file="$SLURM/munge/key" --pid-file="$SLURM/munge/pid" \
    --seed-file="$SLURM/munge/seed" > "$SLURM/munge.log" 2>&1 & PIDS+=($!)
for _ in $(seq 50); do [ -S "$SLURM/munge/socket" ] && break; sleep 0.1; done
slurmctld -D > "$SLURM/slurmctld.log" 2>&1 & PIDS+=($!)
slurmd -D > "$SLURM/slurmd.log" 2>&1 & PIDS+=($!)
for _ in $(seq 60); do [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break; sleep 1; done
[ "$(sinfo -h -o %t)" = idle ] || { tail "$SLURM"/*.log; fail "the node does not become idle"; }
sinfo -o "%P %a %D %c CPUs %m MB %t"

# ---- the tiny project, once here and once there ----------------------------------------------------------------

cd "$ROOT"
python - "$WORK" 2>/dev/null <<'PYTHON'
import sys
from pathlib import Path

from tests import tiny
from tests.workflow.project import Project

work = Path(sys.argv[1])
model = tiny.save("llama", work / "model")
for name in ("here", "there"):
    Project.create(work / name, model)
PYTHON

in_queue() { squeue -h -o %i; }
await() { # SECONDS WHAT COMMAND...: until the command succeeds
    local seconds=$1 what=$2; shift 2
    for _ in $(seq "$seconds"); do eval "$@" && return; sleep 1; done
    tail -n 30 driver.log; squeue --states=all --sort=i; fail "$what did not happen within $seconds s"
}
start() {
    snakemake --workflow-profile profiles/slurm --configfile test.yaml > driver.log 2>&1 & DRIVER=$!
}
# Every table, figure and claims file of a project with its hash.
digests() { (cd "$1/results/tiny" && find data figures claims.md claims.json -type f ! -name '.*' | sort | xargs sha256sum); }
