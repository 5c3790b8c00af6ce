{%- if undo -%}
# Undoes what `glm-aria env` set: each variable is again what it was.
{% for name in variables -%}
if (Test-Path Env:_GLM_ARIA_WAS_{{ name }}) {
    if ($Env:_GLM_ARIA_WAS_{{ name }}.StartsWith('=')) { $Env:{{ name }} = $Env:_GLM_ARIA_WAS_{{ name }}.Substring(1) }
    else { Remove-Item Env:{{ name }} -ErrorAction SilentlyContinue }
    Remove-Item Env:_GLM_ARIA_WAS_{{ name }}
}
{% endfor -%}
{%- else -%}
# Hugging Face software asks {{ mirror }}, and sends it no token that you did not hand over yourself.
# Made by glm-aria {{ version }}. May be run again; earlier values are kept.
# Use:   glm-aria env --shell powershell | Out-String | Invoke-Expression
# Undo:  glm-aria env --shell powershell --undo | Out-String | Invoke-Expression
{% for name, value in variables.items() -%}
if (-not (Test-Path Env:_GLM_ARIA_WAS_{{ name }})) {
    if (Test-Path Env:{{ name }}) { $Env:_GLM_ARIA_WAS_{{ name }} = '=' + $Env:{{ name }} }
    else { $Env:_GLM_ARIA_WAS_{{ name }} = '-' }
}
$Env:{{ name }} = {{ value | powershell }}
{% endfor -%}
{%- endif -%}
