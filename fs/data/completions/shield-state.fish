# SPDX-License-Identifier: Apache-2.0
# Completion of shield-state for fish.

# Is the word at the cursor that of this number, after this command (and this third word)?
function __shield_state_at
    set -l words (commandline --tokenize --current-process --cut-at-cursor)
    test (count $words) -eq $argv[1]; or return
    set -q argv[2]; or return 0
    contains -- "$words[2]" (string split , $argv[2]); or return
    not set -q argv[3]; or test "$words[4]" = $argv[3]
end

# The containers of the views that are mounted: a view's directory has the layout of a bundle.
function __shield_state_containers
    while read --local line
        set -l words (string split ' ' -- $line)
        string match --quiet -- '* - fuse.shieldfs *' $line; or continue
        set -l at (printf %b (string replace --all '\\' '\\0' -- $words[5]))
        for path in $at/*/
            printf '%s\tcontainer of a view\n' (string trim --right --chars=/ -- $path)
        end
    end </proc/self/mountinfo
end

set -l files hooks_dir hook_entrypoint hook_json ruleset gateway gateway_v6 upstream_dns dns_tier \
    profile_allowed profile_domains live_allowed live_domains deny denied_domains dnsmasq_conf dnsmasq_pid \
    dnsmasq_log resolv_conf interactive container_id audit

complete --command shield-state --no-files
complete --command shield-state --condition '__shield_state_at 1' --arguments version --description 'print the bundle version'
complete --command shield-state --condition '__shield_state_at 1' --arguments path --description 'print where a file lies'
complete --command shield-state --condition '__shield_state_at 1' --arguments show --description 'print a computed list'
complete --command shield-state --condition '__shield_state_at 1' --arguments init --description 'make the directories of a bundle'
complete --command shield-state --condition '__shield_state_at 1' --short-option h --long-option help --description 'print a summary'
complete --command shield-state --condition '__shield_state_at 1' --short-option V --long-option version --description 'print the version'
complete --command shield-state --condition '__shield_state_at 2 path,show' --arguments '(__shield_state_containers)'
complete --command shield-state --condition '__shield_state_at 2 path,show,init' --arguments '(__fish_complete_directories)'
complete --command shield-state --condition '__shield_state_at 3 path' --arguments "$files"
complete --command shield-state --condition '__shield_state_at 3 show' \
    --arguments 'effective allowed denied effective.domains interactive'
complete --command shield-state --condition '__shield_state_at 4 path hook_json' --arguments 'createRuntime poststop'
