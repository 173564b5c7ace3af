"""Where in a program's code a call was made: processes and addresses in, functions, files and lines out."""
