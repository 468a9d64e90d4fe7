"""libtorrent as a client of the interop matrix. Needs the bindings of Debian's python3-libtorrent.

  libtorrent_client.py create --format v1|v2|hybrid --tracker URL --output FILE PATH     prints the info hashes
      beside FILE: FILE.bare without piece layers, FILE.magnet, FILE.v2-magnet with the v2 hash alone
  libtorrent_client.py seed|download --port P [--forced-rc4] [--lsd] [--peer PORT] [--dht HOST:PORT] --output DIR TORRENT|MAGNET
  libtorrent_client.py items --port P --output DIR TEXT      two nodes of the DHT, which store `from libtorrent` and print
      READY, and print DONE when they have got TEXT that somebody else stored
Seed and download print READY, then DONE when everything is there, and stay; after SIGTERM they print UPLOADED and the
bytes of payload that were sent.
"""
import argparse
import hashlib
import os
import signal
import sys
import time
import urllib.parse

import libtorrent as lt

# Flags of create_torrent; the bindings of 2.0.8 do not name the last.
FORMATS = {"hybrid": 0, "v2": 32, "v1": 64}


# Nodes of one address are as good as those of many, with whatever id.
DHT_ON_LOOPBACK = {
    "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False, "dht_ignore_dark_internet": False,
    "dht_enforce_node_id": False, "dht_prefer_verified_node_ids": False, "dht_block_ratelimit": 1000,
}


def info_hashes(torrent):
    both = torrent.info_hashes()
    hashes = [both.v1] if both.has_v1() else []
    if both.has_v2():
        hashes.append(str(both.v2)[:40])            # trackers know 20 bytes of it
    return [str(one)[:40] for one in hashes]


def create(options):
    files = lt.file_storage()
    lt.add_files(files, options.what)
    torrent = lt.create_torrent(files, piece_size=options.piece_length, flags=FORMATS[options.format])
    torrent.add_tracker(options.tracker)
    lt.set_piece_hashes(torrent, os.path.dirname(os.path.abspath(options.what)))
    with open(options.output, "wb") as out:
        out.write(lt.bencode(torrent.generate()))
    made = lt.torrent_info(options.output)
    bare = lt.bdecode(open(options.output, "rb").read())
    bare.pop(b"piece layers", None)
    with open(options.output + ".bare", "wb") as out:
        out.write(lt.bencode(bare))
    tracker = "&tr=" + urllib.parse.quote(options.tracker, safe="")
    both = made.info_hashes()
    v1 = ["xt=urn:btih:" + str(both.v1)] if both.has_v1() else []
    v2 = ["xt=urn:btmh:1220" + str(both.v2)] if both.has_v2() else []
    with open(options.output + ".magnet", "w") as out:
        out.write("magnet:?" + "&".join(v1 + v2) + tracker)
    with open(options.output + ".v2-magnet", "w") as out:
        out.write("magnet:?" + "&".join(v2) + tracker)
    print(*info_hashes(made))


def trade(options):
    # 0 is forced, 2 is disabled; 2 of the levels is RC4.
    encryption = 0 if options.forced_rc4 else 2
    # It never chokes: rTorrent asks a peer that choked it within 10 s again only at its next round, which comes every 30 s.
    session = lt.session({
        "listen_interfaces": ("0.0.0.0:%d" if options.lsd else "127.0.0.1:%d") % options.port,
        "enable_dht": options.dht is not None, **DHT_ON_LOOPBACK, "dht_bootstrap_nodes": options.dht or "",
        "enable_lsd": options.lsd, "enable_upnp": False, "enable_natpmp": False,
        "enable_incoming_utp": False, "enable_outgoing_utp": False, "out_enc_policy": encryption, "in_enc_policy": encryption,
        "allowed_enc_level": 2,
        "allow_multiple_connections_per_ip": True, "unchoke_slots_limit": -1, "upload_rate_limit": options.upload_limit,
        "download_rate_limit": options.download_limit,
        "min_reconnect_time": 1, "connection_speed": 50, "max_queued_disk_bytes": 1 << 20,
        "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification
        | lt.alert.category_t.tracker_notification | lt.alert.category_t.connect_notification,
    })
    if options.what.startswith("magnet:"):
        parameters = lt.parse_magnet_uri(options.what)
    else:
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info(options.what)
    parameters.save_path = options.output
    parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    # A limit holds for peers of this machine too only in this class.
    filters = lt.ip_filter()
    filters.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    session.set_peer_class_filter(filters)
    handle = session.add_torrent(parameters)
    if options.peer:
        handle.connect_peer(("127.0.0.1", options.peer))
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    print("READY", flush=True)
    done = False
    announced = 0
    while not asked:
        session.wait_for_alert(100)
        # By itself it would wait for 15 minutes when its first time comes before the first node.
        if options.dht is not None and time.time() > announced + 2:
            announced = time.time()
            handle.force_dht_announce()
        finished = handle.status().is_seeding
        for alert in session.pop_alerts():
            print(type(alert).__name__, alert.message(), file=sys.stderr, flush=True)
            finished = finished or isinstance(alert, lt.torrent_finished_alert)
        if finished and not done:
            done = True
            print("DONE", flush=True)
    print("UPLOADED", handle.status().total_payload_upload, flush=True)
    session.pause()
    handle.flush_cache()
    time.sleep(0.3)
    os._exit(0)


def items(options):
    nodes = []
    for port, begin in [(options.port, ""), (0, f"127.0.0.1:{options.port}")]:
        nodes.append(lt.session({
            "listen_interfaces": f"127.0.0.1:{port}", "enable_dht": True, **DHT_ON_LOOPBACK, "dht_bootstrap_nodes": begin,
            "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False, "alert_mask": lt.alert.category_t.dht_notification,
        }))
    wanted = lt.sha1_hash(hashlib.sha1(lt.bencode(options.what)).digest())
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    said = set()
    while not asked:
        # Each stores what it puts at the others, and looks there.
        for node in nodes:
            node.dht_put_immutable_item("from libtorrent")
            node.dht_get_immutable_item(wanted)
        time.sleep(0.5)
        alerts = [alert for node in nodes for alert in node.pop_alerts()]
        stored = any(isinstance(alert, lt.dht_put_alert) and alert.num_success > 0 for alert in alerts)
        # The bindings fail on the item of a search that found none; its message tells.
        found = any(isinstance(alert, lt.dht_immutable_item_alert) and options.what in alert.message() for alert in alerts)
        for word, is_true in [("READY", stored), ("DONE", found)]:
            if is_true and word not in said:
                said.add(word)
                print(word, flush=True)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["create", "seed", "download", "items"])
    parser.add_argument("--format", choices=sorted(FORMATS), default="v1")
    parser.add_argument("--tracker", default="")
    parser.add_argument("--piece-length", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--upload-limit", type=int, default=0)
    parser.add_argument("--download-limit", type=int, default=0)
    parser.add_argument("--peer", type=int, default=0)
    parser.add_argument("--lsd", action="store_true")
    parser.add_argument("--forced-rc4", action="store_true")
    parser.add_argument("--dht", help="take part in the DHT, beginning at HOST:PORT, or nowhere when it is empty")
    parser.add_argument("--output", required=True)
    parser.add_argument("what")
    options = parser.parse_args()
    if options.command == "create":
        create(options)
    elif options.command == "items":
        items(options)
    else:
        trade(options)


main()
