"""An OCI runtime in, what it calls itself between loading the filter and the entrypoint's exec out."""
