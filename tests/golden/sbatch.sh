#!/bin/bash

# Parameters
#SBATCH --array=0-1%2
#SBATCH --constraint=type_a
#SBATCH --cpus-per-task=2
#SBATCH --error=/shared/run/logs/slurm/%A_%a_0_log.err
#SBATCH --exclude=c7
#SBATCH --exclusive
#SBATCH --job-name=litesweep-0123456789abcdef-0
#SBATCH --mem=0
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/shared/run/logs/slurm/%A_%a_0_log.out
#SBATCH --partition=batch
#SBATCH --reservation='bench day'
#SBATCH --signal=B:USR2@10
#SBATCH --time=25
#SBATCH --wckey=submitit

# setup
echo "$(date +%FT%T) job $SLURM_JOB_ID begins" >&2
trap "" USR2
unset PYTHONPATH PYTHONHOME
module load apptainer
if [ ! -r /shared/images/tflite.sif ]; then
  echo litesweep: there is no image /shared/images/tflite.sif on $(hostname), or it cannot be read. >&2
  exit 66
fi
if ! echo 'abababababababababababababababababababababababababababababababab  /shared/images/tflite.sif' | sha256sum --check --status; then
  echo litesweep: the image /shared/images/tflite.sif is not the one that the run was planned with: its sha256 is not abababababababababababababababababababababababababababababababab. >&2
  exit 65
fi
srun() {
  local code took begun=$SECONDS
  command srun "$@" && return
  code=$? took=$((SECONDS - begun))
  [ $code -gt 128 ] && [ $took -ge 120 ] && [ $took -le 180 ] || return $code
  echo litesweep: MPI did not bring all ranks together. Once more. >&2
  echo "$(date +%FT%T) job $SLURM_JOB_ID begins" >&2
  command srun "$@"
}

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /shared/run/logs/slurm/%A_%a_%t_log.out --error /shared/run/logs/slurm/%A_%a_%t_log.err --mpi=pmi2 --kill-on-bad-exit=1 --cpus-per-task=2 --cpu-bind=cores apptainer -q exec --sharens --no-mount home,cwd --pwd / --bind /shared/store:/shared/store:ro --bind /shared/run /shared/images/tflite.sif python3 -u -m submitit.core._submit /shared/run/logs/slurm
