"""Which system calls the programs of a root file system can reach: ELF files in, calls and open questions out."""
