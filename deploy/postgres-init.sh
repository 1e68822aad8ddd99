#!/bin/sh
# The roles of the service, which own nothing, and the database of its keys.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
    -v password="$ROLLCALL_PASSWORD" -v keys_password="$ROLLCALL_KEYS_PASSWORD" <<'SQL'
create role rollcall login password :'password';
create role rollcall_keys login password :'keys_password';
create database rollcall_keys;
revoke connect on database rollcall_keys from public;
grant connect on database rollcall_keys to rollcall_keys;
SQL
