"""The public ledger: contracts, the EVM client, and the adapters of Registry, Escrow, Notary and Wallet.

Read `contracts/ChargeTab.vy` first: it is where the money is. Then `relayer.py`, which brings every
transaction of ours onto the chain exactly once, and `embedded.py`, the chain that runs on a laptop.
No web3: `rpc.py` is JSON-RPC over httpx, `transactions.py` signs, eth-abi encodes the calls.
"""
