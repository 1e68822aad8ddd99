#!/bin/sh
# Makes the user of the service, who is in no group: whose streams are its own, as their $acl says, which the service sets.
set -eu
body="{\"loginName\": \"rollcall\", \"fullName\": \"Rollcall\", \"groups\": [], \"password\": \"$ROLLCALL_KURRENTDB_PASSWORD\"}"
ask() {
    curl --silent --cacert /authority/ca.crt --user "admin:$KURRENTDB_ADMIN_PASSWORD" --output /dev/null \
        --write-out '%{http_code}' "$@"
}
# A cluster that has just begun has no administrator yet.
for attempt in $(seq 60); do
    case "$(ask https://kurrentdb1:2113/users/rollcall || true)" in
        200) exit 0 ;;
        404) ask --header 'Content-Type: application/json' --data "$body" https://kurrentdb1:2113/users/ || true ;;
    esac
    sleep 1
done
echo "the user could not be made" >&2
exit 1
