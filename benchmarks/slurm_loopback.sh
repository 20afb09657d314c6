#!/usr/bin/env bash
# A real Slurm on this machine alone, for trying and testing jobs of Slurm; Debian, as root.
#
#   apt-get install slurm-wlm munge
#   benchmarks/slurm_loopback.sh start [FOLDER]     munged, slurmctld and slurmd, with all of their files in FOLDER
#   export SLURM_CONF=/tmp/univa-slurm/slurm.conf   or that of FOLDER
#   python -m pytest tests/integration/test_reproduce_slurm.py
#   benchmarks/slurm_loopback.sh stop [FOLDER]      ends these daemons and the jobs that they run
#
# Jobs are not confined to their cores and memory, and there is no accounting. It listens at 127.0.0.1 alone.
set -euo pipefail

task=${1:-}
folder=${2:-/tmp/univa-slurm}

start() {
  mkdir -p "$folder"/{state,spool}
  chmod 755 "$folder"
  [ -f "$folder/munge.key" ] || head -c 1024 /dev/urandom > "$folder/munge.key"
  chmod 400 "$folder/munge.key"
  # Without it jobs that say how much memory they need (`--slurm mem=1G`) are refused.
  memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
  cat > "$folder/slurm.conf" << END
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=1
JobRequeue=1
KillWait=5
MinJobAge=300
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=${UNIVA_SLURM_CPUS:-2} RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
END
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
  slurmctld -f "$folder/slurm.conf"
  slurmd -f "$folder/slurm.conf" -N localhost
  export SLURM_CONF="$folder/slurm.conf"
  for _ in $(seq 60); do
    if [ "$(sinfo --noheader --format=%t 2> /dev/null)" = idle ]; then
      echo "Slurm is up: export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 1
  done
  echo "Slurm did not come up: see $folder/slurmctld.log and slurmd.log" >&2
  exit 1
}

stop() {
  for daemon in slurmd slurmctld munged; do
    [ -f "$folder/$daemon.pid" ] && kill "$(cat "$folder/$daemon.pid")" || true
  done
}

case $task in
  start | stop) "$task" ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
