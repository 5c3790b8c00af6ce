{%- if undo -%}
# Undoes what `glm-aria env` set: each variable is again what it was.
{% for name in variables -%}
if [ "${_GLM_ARIA_WAS_{{ name }}+set}" ]; then
    case $_GLM_ARIA_WAS_{{ name }} in
    =*) export {{ name }}="${_GLM_ARIA_WAS_{{ name }}#=}" ;;
    *) unset {{ name }} ;;
    esac
    unset _GLM_ARIA_WAS_{{ name }}
fi
{% endfor -%}
{%- else -%}
# Hugging Face software asks {{ mirror }}, and sends it no token that you did not hand over yourself.
# Made by glm-aria {{ version }}. May be run again; earlier values are kept.
# Use:   eval "$(glm-aria env)"
# Undo:  eval "$(glm-aria env --undo)"
{% for name, value in variables.items() -%}
[ "${_GLM_ARIA_WAS_{{ name }}+set}" ] || export _GLM_ARIA_WAS_{{ name }}="${% raw %}{{% endraw %}{{ name }}+=${{ name }}}"
export {{ name }}={{ value | sh }}
{% endfor -%}
{%- endif -%}
