"""llmos beside other engines, on this machine, with the same prompts: `python -m benchmarks`.

    cases         what is measured: prompts, streams, tokens
    peer          the one protocol all engines are behind; peers/ has one file per engine
    environments  one for each peer, made on first use
    worker        the child process an engine runs in, so that its memory is returned
    process       the parent's end of a worker
    pairs         llmos and a peer in turns: A B A B
    alone         what llmos does alone: starting, loading, a second turn
    kernels       single kernels and the memory's bandwidth, in an engine's environment
    table         medians, ratios, the table, build/bench.json
    chart         the ratios as an SVG
    gpu           all there is to measure on a GPU, in one call

Never part of the test run: figures depend on the machine and on what else it does.
"""
