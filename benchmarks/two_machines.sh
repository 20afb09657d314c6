#!/usr/bin/env bash
# Training over two machines, made out of one: network namespaces that are joined by a cable (veth) and see nothing else.
# Linux, as root, with iproute2.
#
#   benchmarks/two_machines.sh RECIPE [OPTIONS OF TRAINING]
#   benchmarks/two_machines.sh recipes/demo.yaml --max_steps 4
#
# Each machine runs `accelerate launch` with configs/accelerate/cpu_2_processes.yaml, with one of the two processes.
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)

remove() {
  ip netns delete univa0 2> /dev/null || true
  ip netns delete univa1 2> /dev/null || true
}

on_machine() {
  local rank=$1
  shift
  ip netns exec "univa$rank" env GLOO_SOCKET_IFNAME="cable$rank" accelerate launch \
    --config_file "$here/configs/accelerate/cpu_2_processes.yaml" --num_machines 2 --num_processes 2 \
    --machine_rank "$rank" --main_process_ip 10.77.0.1 --main_process_port 29577 \
    "$here/train_hf.py" "$@" --use_cpu true
}

remove
trap remove EXIT
for rank in 0 1; do
  ip netns add "univa$rank"
  ip -n "univa$rank" link set lo up
done
ip link add cable0 netns univa0 type veth peer name cable1 netns univa1
for rank in 0 1; do
  ip -n "univa$rank" address add "10.77.0.$((rank + 1))/24" dev "cable$rank"
  ip -n "univa$rank" link set "cable$rank" up
done

on_machine 1 "$@" > /dev/null &
other=$!
on_machine 0 "$@"
wait "$other"
