#!/bin/sh
# policyd-cni, a chained CNI plugin: a pod's network is ready only when the rules of its NetworkPolicies are in force.
#
# ADD waits for the agent of this node, then hands on the result of the plugins before it, byte by byte. It changes no
# network namespace. Written for any POSIX shell (dash, busybox, bash): there is nothing else on every node.
#
#   <runDir>/cni/asked/<container>-<interface>.<pid>/request   what is asked: CNI_… lines, an empty line, the configuration
#                                                   /answer    a pipe: "ok", or "refuse CODE SENTENCE"
#   <runDir>/cni/ready                                         the agent has brought a ruleset into force since the boot
#
# Keys of its configuration: runDir, waitSeconds, unanswered ("refuse", or "pass": a pod may start without an agent).
set -fu
LC_ALL=C
export LC_ALL
umask 077
PATH="${PATH:-/bin}:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH

SUPPORTED='"0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"'
version=1.0.0 name='' run_dir=/run/policyd wait_seconds=30 unanswered=refuse previous=''
drafted='' asked='' timer=''

# fail CODE SENTENCE: the error of the CNI specification, and the end.
fail() {
    code=$1
    IFS='"\' # what would end the text
    set -- $2
    IFS=' '
    printf '{"cniVersion":"%s","code":%s,"msg":"%s"}\n' "$version" "$code" "$*"
    exit 1
}

clean_up() {
    [ -z "$timer" ] || kill "$timer" 2>/dev/null
    withdraw
}

# withdraw: remove the question. Mostly the agent has done so, and then no process is made for it.
withdraw() {
    if [ -e "$drafted" ] || [ -e "$asked" ]; then rm -rf "$drafted" "$asked"; fi
}

# read_config TEXT: the keys that are used, and of prevResult the text as it stands. Split at quotation marks, every second
# field is within a string; only what is outside of strings is looked at letter by letter.
read_config() {
    depth=0 key='' last='' scalar='' valued='' copying='' within='' token=''
    IFS='"'
    set -- $1
    IFS=' '
    for field; do
        if [ -z "$within" ]; then
            read_outside "$field"
            within=1 token=''
            continue
        fi
        token=$token$field
        odd=''
        while :; do # an odd number of backslashes: the mark belongs to the string
            case $field in
            *\\) field=${field%?} ;;
            *) break ;;
            esac
            if [ "$odd" ]; then odd=''; else odd=1; fi
        done
        if [ "$odd" ]; then
            token=$token\"
            continue
        fi
        within=''
        if [ "$copying" ]; then
            previous=$previous\"$token\"
        elif [ "$depth" = 1 ]; then
            if [ "$valued" ]; then scalar=$token; else last=$token; fi
        fi
    done
    [ "$depth" = 0 ] && [ "$within" ] && [ -z "$token" ]
}

read_outside() {
    rest=$1
    if [ "$copying" ]; then
        case $rest in
        *[]{}[]*) ;;
        *) previous=$previous$rest && return ;;
        esac
    fi
    while [ -n "$rest" ]; do
        letter=${rest%"${rest#?}"}
        rest=${rest#?}
        case $letter in
        [{[])
            if [ "$depth" = 1 ] && [ "$valued" ] && [ "$key" = prevResult ]; then copying=1 previous=''; fi
            depth=$((depth + 1))
            ;;
        []}]) depth=$((depth - 1)) ;;
        esac
        if [ "$copying" ]; then
            previous=$previous$letter
            if [ "$depth" = 1 ]; then copying=''; fi
            continue
        fi
        case $depth$letter in
        1:) key=$last valued=1 scalar='' ;;
        1, | 0}) keep ;;
        1[0-9a-z.+-]) if [ "$valued" ]; then scalar=$scalar$letter; fi ;;
        esac
    done
}

keep() {
    if [ "$valued" ]; then
        case $key in
        cniVersion) version=$scalar ;;
        name) name=$scalar ;;
        runDir) run_dir=$scalar ;;
        waitSeconds) wait_seconds=$scalar ;;
        unanswered) unanswered=$scalar ;;
        esac
    fi
    key='' last='' valued='' scalar=''
}

check_config() {
    case $version in
    0.3.0 | 0.3.1 | 0.4.0 | 1.0.0 | 1.1.0) ;;
    *)
        version=1.0.0
        fail 1 "policyd-cni knows the versions 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0"
        ;;
    esac
    [ -n "$name" ] || fail 7 "policyd-cni: the network has no name"
    case $run_dir in
    /*) ;;
    *) fail 7 "policyd-cni: runDir must be a path that begins with /" ;;
    esac
    case $wait_seconds in
    '' | *[!0-9]* | ?????*) fail 7 "policyd-cni: waitSeconds must be a whole number of seconds" ;;
    esac
    case $unanswered in
    refuse | pass) ;;
    *) fail 7 "policyd-cni: unanswered must be refuse or pass" ;;
    esac
}

check_environment() {
    case ${CNI_CONTAINERID:-} in
    '' | [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*) fail 4 "policyd-cni: CNI_CONTAINERID is missing, or no name of a container" ;;
    esac
    case ${CNI_IFNAME:-} in
    '' | . | .. | *[/:[:space:]]* | ????????????????*) fail 4 "policyd-cni: CNI_IFNAME is missing, or no name of an interface" ;;
    esac
    [ -n "${CNI_NETNS:-}" ] || fail 4 "policyd-cni: CNI_NETNS is missing"
    case ${CNI_NETNS_OVERRIDE:-} in
    1 | [Tt][Rr][Uu][Ee]) ;;
    *)
        if [ "$CNI_NETNS" -ef /proc/self/ns/net ]; then
            fail 8 "policyd-cni: CNI_NETNS is the node's own network namespace"
        fi
        ;;
    esac
}

# ask COMMAND: put the question where the agent sees it, and wait. `answer` is its line; empty if none came in time.
ask() {
    answer=''
    drafted=$run_dir/cni/new-$CNI_CONTAINERID-$CNI_IFNAME.$$
    asked=$run_dir/cni/asked/$CNI_CONTAINERID-$CNI_IFNAME.$$
    withdraw # that of an earlier process of this number
    mkdir -p "$run_dir/cni/asked" "$drafted" 2>/dev/null && mkfifo "$drafted/answer" 2>/dev/null &&
        printf 'CNI_COMMAND=%s\nCNI_CONTAINERID=%s\nCNI_IFNAME=%s\nCNI_NETNS=%s\nCNI_ARGS=%s\nWAIT_SECONDS=%s\n\n%s' \
            "$1" "$CNI_CONTAINERID" "$CNI_IFNAME" "$CNI_NETNS" "${CNI_ARGS:-}" "$wait_seconds" "$config" \
            2>/dev/null >"$drafted/request" || fail 5 "policyd-cni: nothing can be written to $run_dir/cni on the node"
    # Opened for both, so that nobody waits for the other end. From then on sleep holds the pipe open: when it ends, so
    # does reading.
    exec 3<>"$drafted/answer"
    sleep "$((wait_seconds + 1))" >&3 2>&3 </dev/null &
    timer=$!
    exec 4<"$drafted/answer" 3>&-
    mv "$drafted" "$asked" 2>/dev/null || fail 5 "policyd-cni: nothing can be written to $run_dir/cni/asked on the node"
    read -r answer <&4
    exec 4<&-
}

# require COMMAND: return if the agent agrees, or does not answer and need not; else the error of the specification.
require() {
    ask "$1"
    case $answer in
    ok) ;;
    'refuse '[1-9]*' '*)
        answer=${answer#refuse }
        code=${answer%% *}
        case $code in
        *[!0-9]*) code=999 ;;
        esac
        fail "$code" "${answer#* }"
        ;;
    '') [ "$unanswered" = pass ] ||
        fail 11 "policyd's agent on this node has not answered within $wait_seconds s, so the pod must wait: kubectl --namespace policyd get pods" ;;
    *) fail 999 "policyd-cni: the agent's answer is not understood" ;;
    esac
}

# gc: forget the questions of containers that the runtime does not know.
gc() {
    set +f
    for found in "$run_dir"/cni/asked/* "$run_dir"/cni/new-*; do
        container=${found##*/}
        container=${container#new-}
        container=${container%-*}
        [ ! -d "$found" ] || case $config in
        *"\"$container\""*) ;;
        *) rm -rf "$found" ;;
        esac
    done
    set -f
}

trap clean_up EXIT
trap 'exit 143' HUP INT TERM
config=$(cat)
whole=1
read_config "$config" || whole=''
case ${CNI_COMMAND:-} in
VERSION)
    printf '{"cniVersion":"%s","supportedVersions":[%s]}\n' "1.1.0" "$SUPPORTED"
    ;;
ADD | CHECK)
    [ "$whole" ] || fail 6 "policyd-cni: the configuration is no JSON object"
    check_config
    check_environment
    [ -n "$previous" ] || fail 7 "policyd-cni: no prevResult: it belongs behind the plugin that makes the pod's network"
    case $CNI_COMMAND$version in
    CHECK0.3.*) fail 1 "policyd-cni: there is no CHECK in version $version" ;;
    esac
    require "$CNI_COMMAND"
    if [ "$CNI_COMMAND" = ADD ]; then printf '%s\n' "$previous"; fi
    ;;
DEL) # it never fails, whatever is asked for, or the pod could not end
    case ${CNI_CONTAINERID:-},${CNI_IFNAME:-},$run_dir in
    [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*,*,* | *,*/*,* | *,*,[!/]*) ;;
    *)
        which=$CNI_CONTAINERID-${CNI_IFNAME:+$CNI_IFNAME.}
        set +f
        rm -rf "$run_dir/cni/asked/$which"* "$run_dir/cni/new-$which"* 2>/dev/null
        ;;
    esac
    exit 0
    ;;
STATUS)
    [ "$whole" ] || fail 6 "policyd-cni: the configuration is no JSON object"
    check_config
    [ -e "$run_dir/cni/ready" ] || [ "$unanswered" = pass ] ||
        fail 50 "policyd has brought no ruleset into force on this node since it was booted: kubectl --namespace policyd get pods"
    ;;
GC)
    [ "$whole" ] || fail 6 "policyd-cni: the configuration is no JSON object"
    check_config
    gc
    ;;
*) fail 4 "policyd-cni: CNI_COMMAND must be ADD, DEL, CHECK, STATUS, GC or VERSION" ;;
esac
