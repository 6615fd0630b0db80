// Command network-policies enforces NetworkPolicies on the node of tests/e2e: the controller of kube-network-policies,
// with a kubeconfig in place of a pod's ServiceAccount, and with rules of iptables.
//
// The controller decides about the first packet of each connection, which the kernel hands to it (nfnetlink_queue). The
// rule that hands it over is nftables' `queue`, for which not every kernel is configured (CONFIG_NFT_QUEUE): where it is
// not, the controller logs "no such file or directory", and enforces nothing. iptables' target NFQUEUE does the same, and
// is there wherever kube-proxy's rules are. Where both load, such a packet is decided about twice, alike.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const queue = 100

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how the API server is reached")
	node := flag.String("node", "", "name of the node")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	watched := informers.NewSharedInformerFactory(client, 0)
	enforcer, err := networkpolicy.NewController(
		client,
		watched.Networking().V1().NetworkPolicies(),
		watched.Core().V1().Namespaces(),
		watched.Core().V1().Pods(),
		nil, nil, nil, nil, // of policies that are not Kubernetes' own
		// NRI is left on, though containerd may have none: switched off, this version stops at an address of no pod
		networkpolicy.Config{NodeName: *node, QueueID: queue},
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := handOver(); err != nil {
		log.Fatal(err)
	}
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	watched.Start(told.Done())
	if err := enforcer.Run(told); err != nil {
		log.Fatal(err)
	}
}

// handOver has the kernel hand the first packet of each connection over, as the controller's own rules would: behind
// kube-proxy's translation of the destination and before that of the source. Not those of the node's root, whose
// kubelet probes pods; nor ICMP, which carries IPv6's neighbour discovery. Who listens to the queue decides; as long as
// nobody does, packets pass. The rules go with the node's network.
func handOver() error {
	for program, icmp := range map[string]string{"iptables": "icmp", "ip6tables": "ipv6-icmp"} {
		for _, rule := range []string{
			"-p " + icmp + " -j RETURN",
			"-m owner --uid-owner 0 -j RETURN",
			"-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
			fmt.Sprintf("-j NFQUEUE --queue-num %d --queue-bypass", queue),
		} {
			arguments := strings.Fields("--wait --table mangle --append POSTROUTING " + rule)
			if said, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
				return fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, said)
			}
		}
	}
	return nil
}
