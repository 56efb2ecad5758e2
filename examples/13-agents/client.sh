#!/bin/sh
# Have the agents look at the gateway, choose a model of it, and do a task with it.
set -eu
export NEXUS_GATEWAY_URL="${1:-http://127.0.0.1:8000}"
nexus-agents models --available
nexus-agents orchestrate --model nexus/echo/echo --plan never "Say hello to the gateway."
nexus-agents trace list --limit 1
