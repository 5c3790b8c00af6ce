{%- if undo -%}
# Undoes what `glm-aria env` set: each variable is again what it was.
{% for name in variables -%}
if set -q _GLM_ARIA_WAS_{{ name }}
    set -e {{ name }}
    string match -q '=*' -- $_GLM_ARIA_WAS_{{ name }}
    and set -gx {{ name }} (string sub -s 2 -- $_GLM_ARIA_WAS_{{ name }})
    set -e _GLM_ARIA_WAS_{{ name }}
end
{% endfor -%}
{%- else -%}
# Hugging Face software asks {{ mirror }}, and sends it no token that you did not hand over yourself.
# Made by glm-aria {{ version }}. May be run again; earlier values are kept.
# Use:   glm-aria env --shell fish | source
# Undo:  glm-aria env --shell fish --undo | source
{% for name, value in variables.items() -%}
if not set -q _GLM_ARIA_WAS_{{ name }}
    set -gx _GLM_ARIA_WAS_{{ name }} ''
    set -q {{ name }}; and set -gx _GLM_ARIA_WAS_{{ name }} "=${{ name }}"
end
set -gx {{ name }} {{ value | fish }}
{% endfor -%}
{%- endif -%}
