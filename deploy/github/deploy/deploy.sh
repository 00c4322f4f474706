#!/usr/bin/env bash
# Signs a deploy, sends it, and waits for its end at the address that the server gives for it. Needs curl, openssl and jq.
#
# SKIPPER_SERVER, SKIPPER_APP, SKIPPER_TAG and SKIPPER_SECRET say what; without a key the job's own token is sent, for SKIPPER_AUDIENCE
# (else the server). SKIPPER_IMAGES (lines CONTAINER=REFERENCE), SKIPPER_PREVIEW,
# SKIPPER_SHA, SKIPPER_FORCE (true), SKIPPER_WAIT (false), SKIPPER_TIMEOUT (seconds) and SKIPPER_DELIVERY are optional.
# Exit codes: 0 done, 1 error, 2 something is missing, 3 the key is wrong, 4 no such app, 5 the deploy failed, 6 timeout.
set -euo pipefail

need() {
    [ -n "${!1:-}" ] || { echo "::error::$2" >&2; exit 2; }
}
need SKIPPER_SERVER "no server: set the input \`server\`"
need SKIPPER_APP "no app: set the input \`app\`"
need SKIPPER_TAG "no tag: set the input \`tag\`"
if [ -z "${SKIPPER_SECRET:-}" ] && [ -z "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
    need SKIPPER_SECRET "no key: set the input \`secret\`, or let the job have a token of its own: permissions: id-token: write"
fi
for tool in curl openssl jq; do
    command -v "$tool" >/dev/null || { echo "::error::$tool is not on this runner" >&2; exit 2; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
server=${SKIPPER_SERVER%/}
timeout=${SKIPPER_TIMEOUT:-900}

# A delivery is one run of the workflow: sent again it is the same deploy, run again it is another.
jq --null-input --compact-output \
    --arg app "$SKIPPER_APP" --arg tag "$SKIPPER_TAG" --arg images "${SKIPPER_IMAGES:-}" --arg preview "${SKIPPER_PREVIEW:-}" \
    --arg sha "${SKIPPER_SHA:-}" --arg force "${SKIPPER_FORCE:-false}" --arg delivery "${SKIPPER_DELIVERY:-}" '
    {app: $app, tag: $tag}
    + ($images | split("\n") | map(select(test("="))) | map(capture("^\\s*(?<key>[^=\\s]+)\\s*=\\s*(?<value>\\S+)\\s*$")) | from_entries
        | if . == {} then {} else {images: .} end)
    + (if $preview == "" then {} else {preview: {id: $preview, sha: (if $sha == "" then $tag else $sha end)}} end)
    + (if $force == "true" then {force: true} else {} end)
    + (if $delivery == "" then {} else {delivery: $delivery} end)' | tr -d '\n' >"$work/body"

if [ -n "${SKIPPER_SECRET:-}" ]; then
    # Perl reads the key from its environment: what stands on a command line is seen by every process of the runner.
    # shellcheck disable=SC2016
    signature=$(perl -MDigest::SHA=hmac_sha256_hex -0777 -e '
        open(my $body, "<:raw", $ARGV[0]) or die; print hmac_sha256_hex(scalar <$body>, $ENV{SKIPPER_SECRET})' "$work/body" 2>/dev/null) ||
        signature=$(openssl dgst -sha256 -hmac "$SKIPPER_SECRET" <"$work/body" | sed 's/^.* //')
    printf 'X-Slip-Signature: sha256=%s\n' "$signature" >"$work/credential"
else
    # The token says which repository and branch this job is of; the server's [auth.oidc] says whom it is for.
    printf 'Authorization: Bearer %s\n' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" >"$work/ask"
    curl --fail --silent --show-error --connect-timeout 10 --max-time 60 --get --header "@$work/ask" \
        --data-urlencode "audience=${SKIPPER_AUDIENCE:-$server}" --output "$work/token" "$ACTIONS_ID_TOKEN_REQUEST_URL"
    printf 'Authorization: Bearer %s\n' "$(jq --raw-output .value "$work/token")" >"$work/credential"
fi
unset SKIPPER_SECRET

status=$(curl --silent --show-error --connect-timeout 10 --max-time 60 --retry 5 --retry-connrefused --output "$work/answer" \
    --write-out '%{http_code}' --request POST "$server/v1/deploy" --header 'Content-Type: application/json' \
    --header "@$work/credential" --data-binary "@$work/body") || {
    echo "::error::no answer of $server" >&2
    exit 1
}
if [ "$status" != 202 ]; then
    message=$(jq --raw-output '.detail // .error // empty' "$work/answer" 2>/dev/null || true)
    printf '::error::%s answered %s: %s\n' "$server" "$status" "${message//$'\n'/ }" >&2
    case $status in
    401 | 403) exit 3 ;;
    404) exit 4 ;;
    *) exit 1 ;;
    esac
fi

id=$(jq --raw-output .deploy_id "$work/answer")
echo "$SKIPPER_APP at $SKIPPER_TAG: $id"
{
    echo "deploy-id=$id"
    echo "preview-url=$(jq --raw-output '.preview_url // empty' "$work/answer")"
} >>"${GITHUB_OUTPUT:-/dev/null}"
[ "${SKIPPER_WAIT:-true}" = true ] || exit 0

# Good for this deploy alone, and for nothing else. It may be a path of the server.
watch=$(jq --raw-output '.status_url // empty' "$work/answer")
case $watch in
'') echo "::error::the server gives no status_url; set \`wait: false\`" >&2 && exit 1 ;;
/*) watch=$server$watch ;;
esac
[ -z "${GITHUB_ACTIONS:-}" ] || echo "::add-mask::$watch"

until=$((SECONDS + timeout)) pause=1 shown=
while [ "$SECONDS" -lt "$until" ]; do
    if curl --fail --silent --connect-timeout 10 --max-time 30 --output "$work/view" "$watch"; then
        state=$(jq --raw-output .status "$work/view")
        [ "$state" = "$shown" ] || echo "  $state"
        shown=$state
        case $state in
        completed)
            echo "status=$state" >>"${GITHUB_OUTPUT:-/dev/null}"
            exit 0
            ;;
        failed | cancelled | superseded)
            echo "status=$state" >>"${GITHUB_OUTPUT:-/dev/null}"
            message=$(jq --raw-output '.error // empty' "$work/view")
            printf '::error::%s at %s ended as %s: %s\n' "$SKIPPER_APP" "$SKIPPER_TAG" "$state" "${message//$'\n'/ }" >&2
            exit 5
            ;;
        esac
    fi
    sleep "$pause"
    [ "$pause" -ge 5 ] || pause=$((pause + 1))
done
echo "::error::$SKIPPER_APP at $SKIPPER_TAG has not ended within $timeout s; it goes on ($id)" >&2
exit 6
