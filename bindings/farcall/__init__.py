"""Where JITed BPF calls land on ppc64, however far away the callee is.

Every stage is a plain value::

    case = farcall.Case.load("far.case")
    for cell in case:
        farcall.interpret(cell)              # on the host
        image = farcall.jit(cell)            # ppc64 code at its addresses
        farcall.decode(image, cell)          # call sites, from the bytes alone
    with farcall.Machine() as machine:       # a guest under QEMU
        for result in machine.run(case):
            print(result.text())

In pytest, ``.case`` files are tests, and the fixture ``assert_lands`` checks a program; see
``farcall.pytest_plugin``. Strategies for Hypothesis are in ``farcall.strategies``.
"""

from farcall._farcall import (
    AXES,
    ERROR_CODES,
    Case,
    Cell,
    CodeCall,
    CodeFunction,
    CodeImage,
    DecodedCall,
    Document,
    Finding,
    Function,
    Interpretation,
    LinkedProgram,
    MemoryRegion,
    ObjectProgram,
    Observations,
    Program,
    Result,
    SiteStory,
    Slot,
    Verdict,
    __version__,
)
from farcall.errors import (
    CaseError,
    CompileError,
    FarcallError,
    MachineError,
    ProgramError,
    UsageError,
)
from farcall.landing import Landing
from farcall.machines import IMAGES, Jit, Machine, MachinePool
from farcall.serving import (
    JitCode,
    JitExternal,
    JitFunction,
    JitMap,
    JitRequest,
    JitSlot,
    Unsupported,
    serve_jit,
)
from farcall.stages import check, decode, interpret, jit, link

__all__ = [
    "AXES",
    "ERROR_CODES",
    "IMAGES",
    "Case",
    "CaseError",
    "Cell",
    "CodeCall",
    "CodeFunction",
    "CodeImage",
    "CompileError",
    "DecodedCall",
    "Document",
    "FarcallError",
    "Finding",
    "Function",
    "Interpretation",
    "Jit",
    "JitCode",
    "JitExternal",
    "JitFunction",
    "JitMap",
    "JitRequest",
    "JitSlot",
    "Landing",
    "LinkedProgram",
    "Machine",
    "MachineError",
    "MachinePool",
    "MemoryRegion",
    "ObjectProgram",
    "Observations",
    "Program",
    "ProgramError",
    "Result",
    "SiteStory",
    "Slot",
    "Unsupported",
    "UsageError",
    "Verdict",
    "__version__",
    "check",
    "decode",
    "interpret",
    "jit",
    "link",
    "serve_jit",
]
