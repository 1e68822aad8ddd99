#!/bin/sh
# The role of the service: it owns nothing.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v password="$ROLLCALL_PASSWORD" <<'SQL'
create role rollcall login password :'password';
SQL
