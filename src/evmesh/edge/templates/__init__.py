"""Register devices, a TOML file each; `edge/template.py` says what the members mean."""
