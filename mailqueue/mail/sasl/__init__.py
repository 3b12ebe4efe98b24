"""How to prove to a server who we are: SASL mechanisms as machines without I/O.

`choose` says which mechanism, `begin` makes its machine: challenges in, responses out, as octets
(base64 belongs to the protocol around it). `saslprep` prepares names and passwords.

RFC 4422 (SASL), 4616 (PLAIN), 2195 (CRAM-MD5), 5802 and 7677 (SCRAM-SHA-256), 4013 (SASLprep).
"""

from mailqueue.mail.sasl.mechanisms import begin, choose
from mailqueue.mail.sasl.prep import saslprep
from mailqueue.mail.sasl.values import Credentials, Exchange, Mechanism, SaslError

__all__ = ["Credentials", "Exchange", "Mechanism", "SaslError", "begin", "choose", "saslprep"]
