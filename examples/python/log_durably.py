import logging
import sys

from sluice_client import AvroClient, FileBuffer, Sender, SluiceHandler

sender = Sender(AvroClient("127.0.0.1", int(sys.argv[1])), FileBuffer(sys.argv[2]))
logging.basicConfig(level=logging.INFO, handlers=[SluiceHandler(sender, {"app": "shop"})])
logging.getLogger("shop.orders").info("order %d is paid", 17)
