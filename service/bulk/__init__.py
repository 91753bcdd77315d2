"""Work that is too large for a request: files and folders through the tasks of the service, on all cores.

    source -> blocks -> (processes: prepare, graphs, writer) -> sink, rejects

A block is answered whole and written in order, and where the files stood then is noted: a run that was killed goes on
there, without a row twice or none.
"""
